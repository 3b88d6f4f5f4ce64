"""Coverage of a scope by the chunks that can be searched, and what is left out of it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engine.chunk_refs import ChunkRefs
from engine.records import ChunkRef, Scope, TimeSpan, VideoId, VideoStretch

_LEAST_S = 1e-3
"""A shorter stretch is no footage: the rounding of times that were written down as text."""


def searched_s(refs: ChunkRefs, scope: Scope | None) -> float:
    """Return the seconds of video that chunks cover inside a scope."""
    if scope is None or refs.are_within(scope):
        return float((refs.end_s - refs.start_s).sum())
    chunk, start_s, end_s = refs.pairs(scope)
    overlap_s = np.minimum(refs.end_s[chunk], end_s) - np.maximum(refs.start_s[chunk], start_s)
    return float(np.maximum(overlap_s, 0.0).sum())


def left_out(
    refs: ChunkRefs, scope: Scope, read_to_s: Mapping[VideoId, float]
) -> tuple[VideoStretch, ...]:
    """Return the parts of a scope that were read once and that no searchable chunk holds.

    Ordinals tell: footage that was never there, as in a gap of the clock, leaves none out.

    Args:
        refs: Every chunk that can be searched, of any video.
        scope: Where to look.
        read_to_s: How far each video was read before `refs` were listed; videos that are not
            named were not read.
    """
    incomplete = _incomplete(refs, read_to_s)
    stretches = []
    for video in dict.fromkeys(video for video, _ in scope):
        if refs.has(video) and video not in incomplete:
            continue
        for hole in _holes(refs[refs.of_video(video)], read_to_s.get(video, 0.0)):
            for of, bounds in scope:
                if of == video and hole.overlap_s(bounds) > _LEAST_S:
                    start_s, end_s = (
                        max(hole.start_s, bounds.start_s),
                        min(hole.end_s, bounds.end_s),
                    )
                    span = TimeSpan(start_s=start_s, end_s=end_s)
                    stretches.append(VideoStretch(video=video, span=span))
    return tuple(stretches)


def _incomplete(refs: ChunkRefs, read_to_s: Mapping[VideoId, float]) -> frozenset[VideoId]:
    """Return the videos whose ordinals have holes, or that were read further than they reach."""
    if not len(refs):
        return frozenset()
    expected = np.arange(len(refs)) - refs.offsets[refs.video_idx]
    has_hole = np.logical_or.reduceat(refs.ordinals != expected, refs.offsets[:-1])
    reached_s = np.maximum.reduceat(refs.end_s, refs.offsets[:-1])
    read_s = np.array([read_to_s.get(video, 0.0) for video in refs.videos])
    is_incomplete = has_hole | (read_s > reached_s)
    return frozenset(refs.videos[idx] for idx in np.flatnonzero(is_incomplete))


def _holes(chunks: Sequence[ChunkRef], read_to_s: float) -> Iterator[TimeSpan]:
    """Yield the spans between chunks whose ordinals do not follow, and what was read behind."""
    reached_s, ordinal = 0.0, 0
    for ref in chunks:
        if ref.ordinal > ordinal and ref.span.start_s > reached_s:
            yield TimeSpan(start_s=reached_s, end_s=ref.span.start_s)
        reached_s, ordinal = max(reached_s, ref.span.end_s), ref.ordinal + 1
    if read_to_s > reached_s:
        yield TimeSpan(start_s=reached_s, end_s=read_to_s)
