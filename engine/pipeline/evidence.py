"""Hits and attention mass to the spans that support an answer; the times are stored ones."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from jaxtyping import Float32
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.pipeline.engine import Engine
from engine.pipeline.retrieve import PhraseMatches, Retrieved
from engine.pipeline.scoring import SUPPORTED, ScoredHit
from engine.records import ChunkRef, Evidence, Scope, TimeSpan, VideoId

ATTENTION_SHARE = 2.0
"""A recalled chunk that draws this many times its even share of attention is evidence too."""

_EDGE_S = 1e-6
"""Spans that end and begin this close to each other touch: far below a frame's time, far above
the rounding of float64 seconds."""


def from_hits(
    engine: Engine, retrieved: Retrieved, *, least_support: float = SUPPORTED
) -> tuple[Evidence, ...]:
    """Return the spans of the hits that stand out, cut to the frames that match, merged.

    Args:
        engine: Whose cache holds the frame vectors.
        retrieved: Of a question.
        least_support: From which a hit counts; its neighbours always need `SUPPORTED`.
    """
    strong = [hit for hit in retrieved.hits if hit.support >= least_support]
    beside = [hit for hit in retrieved.nearby if hit.support >= SUPPORTED]
    spans = []
    for scored in (*strong, *beside):
        span = scored.hit.chunk.span
        if retrieved.phrases:
            phrase = retrieved.phrases[scored.phrase_idx]
            span = _matching_span(engine, scored, phrase, retrieved.refs)
        spans.append(
            Evidence(
                video=scored.hit.chunk.video,
                span=span,
                score=scored.support,
                origin=scored.origin,
                keyframe_s=scored.hit.peak_s,
            )
        )
    return within_scope(merge_adjacent(spans), retrieved.scope)


def from_attention(
    chunks: Sequence[ChunkRef], mass: Float32[Tensor, " chunk"] | None
) -> tuple[Evidence, ...]:
    """Return the recalled chunks that the answer's tokens looked at far more than evenly.

    Args:
        chunks: As recalled, in order.
        mass: Mean attention of the answer's tokens on each; `None` where a family cannot tell.
    """
    if mass is None or len(chunks) < 2 or float(mass.sum()) <= 0:
        return ()
    shares = (mass / mass.sum()).tolist()
    return merge_adjacent(
        Evidence(
            video=ref.video,
            span=ref.span,
            score=share,
            origin="attention",
            keyframe_s=ref.span.start_s,
        )
        for ref, share in zip(chunks, shares, strict=True)
        if share >= ATTENTION_SHARE / len(chunks)
    )


def within_scope(evidence: Iterable[Evidence], scope: Scope | None) -> tuple[Evidence, ...]:
    """Return what of each span lies in a scope; a span that reaches over a hole of it is divided.

    A chunk may reach far beyond the bounds that were asked for, above all where few frames are
    shown for long.
    """
    if scope is None:
        return tuple(evidence)
    bounds_of: dict[VideoId, list[TimeSpan]] = {}
    for video, bounds in scope:
        bounds_of.setdefault(video, []).append(bounds)
    return tuple(
        _cut_to(whole, bounds)
        for whole in evidence
        for bounds in bounds_of.get(whole.video, ())
        if whole.span.overlap_s(bounds) > 0
    )


def _cut_to(evidence: Evidence, bounds: TimeSpan) -> Evidence:
    """Return the part inside bounds, shown by its own keyframe, or else by its middle."""
    span = TimeSpan(
        start_s=max(evidence.span.start_s, bounds.start_s),
        end_s=min(evidence.span.end_s, bounds.end_s),
    )
    is_inside = span.contains(evidence.keyframe_s)
    keyframe_s = evidence.keyframe_s if is_inside else (span.start_s + span.end_s) / 2
    return replace(evidence, span=span, keyframe_s=keyframe_s)


def combine(by_hits: Sequence[Evidence], by_attention: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the evidence of retrieval first, then what attention adds elsewhere."""
    added = [
        candidate
        for candidate in by_attention
        if not any(
            kept.video == candidate.video and kept.span.overlap_s(candidate.span) > 0
            for kept in by_hits
        )
    ]
    return (*by_hits, *added)


def merge_adjacent(spans: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Merge spans that touch, keeping the best one's score and keyframe; best first."""
    merged: list[Evidence] = []
    for evidence in sorted(spans, key=lambda span: (span.video, span.span.start_s)):
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.video == evidence.video
            and evidence.span.start_s <= last.span.end_s + _EDGE_S
        ):
            best = max(last, evidence, key=lambda span: span.score)
            merged[-1] = replace(best, span=last.span.hull(evidence.span))
        else:
            merged.append(evidence)
    return tuple(sorted(merged, key=lambda span: -span.score))


def _matching_span(
    engine: Engine,
    scored: ScoredHit,
    phrase: PhraseMatches,
    in_scope: ChunkRefs,
) -> TimeSpan:
    """Return the run of frames around the best one that match at least half as well.

    Half way from the video's mean to the peak; on drawn recordings 0.3 to 0.7 of the way did
    equally well. The run of a hit that stands out may reach into the chunks beside it, for their
    boundary is ours and not the event's; a weak hit's half way is near the mean, where all fits.
    """
    hit, video = scored.hit, scored.hit.chunk.video
    mean = next(stats.mean for stats in phrase.result.stats if stats.video == video)
    least_score = (hit.score + mean) / 2
    half_frame_s = 0.5 / engine.sampling.fps
    n_chunks = 2 if scored.support >= SUPPORTED else 1

    @cache
    def frames(ordinal: int) -> list[tuple[float, bool]]:
        """Times of a chunk's frames, and whether each matches."""
        vectors, pts_s = engine.frame_vectors(video, ordinal)
        matches = vectors @ phrase.vector.float().cpu() >= least_score
        return list(zip(pts_s.tolist(), matches.tolist(), strict=True))

    def walk(step: int) -> tuple[float, float | None, ChunkRef]:
        """The last frame of the run in a direction, the first behind it, and where it lies."""
        reached_s, ref = hit.peak_s, hit.chunk
        for ordinal in (hit.chunk.ordinal, hit.chunk.ordinal + step)[:n_chunks]:
            beside = in_scope.find(video, ordinal)
            if beside is None:
                break
            ref = beside
            for at_s, is_match in frames(ordinal)[::step]:
                if (at_s - hit.peak_s) * step > 0:
                    if not is_match:
                        return reached_s, at_s, ref
                    reached_s = at_s
        return reached_s, None, ref

    def edge_s(before_s: float, after_s: float) -> float:
        """When the later frame's picture began: midway, unless still frames were left out."""
        return max((before_s + after_s) / 2, after_s - half_frame_s)

    first_s, before_s, _ = walk(-1)
    last_s, after_s, last = walk(1)
    return TimeSpan(
        start_s=first_s if before_s is None else edge_s(before_s, first_s),
        end_s=last.span.end_s if after_s is None else edge_s(last_s, after_s),
    )
