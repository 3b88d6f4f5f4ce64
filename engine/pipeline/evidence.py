"""Hits and attention mass to the spans that support an answer; the times are stored ones."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from jaxtyping import Float32
from torch import Tensor

from engine.pipeline.engine import Engine
from engine.pipeline.query import phrases
from engine.pipeline.retrieve import Retrieved, Scope, retrieve
from engine.pipeline.scoring import SUPPORTED, ScoredHit
from engine.records import ChunkRef, Evidence, TimeSpan, VideoId

ATTENTION_SHARE = 2.0
"""A recalled chunk that draws this many times its even share of attention is evidence too."""

_EDGE_S = 1e-6
"""Spans that end and begin this close to each other touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search found: best first, neighbours merged."""

    query: str
    moments: tuple[Evidence, ...]
    searched_s: float
    total_ms: float


def search(
    engine: Engine, query: str, *, scope: Scope | None = None, top: int = 10
) -> SearchResult:
    """The moments that show something, best first, however weak: scores say how sure.

    Args:
        engine: Whose index to search.
        query: A phrase or a question.
        scope: Only these spans of these videos; `None` searches everything.
        top: Most moments to return.
    Raises:
        NotFoundError: The scope holds no chunk.
    """
    started = time.perf_counter()
    seek = " ".join(phrases(query)) or query
    retrieved = retrieve(engine, query, seek=seek, scope=scope, recall="top")
    moments = from_hits(engine, retrieved, scope=scope, least_support=0.0)[:top]
    total_ms = (time.perf_counter() - started) * 1000
    return SearchResult(
        query=query, moments=moments, searched_s=retrieved.searched_s, total_ms=total_ms
    )


def from_hits(
    engine: Engine,
    retrieved: Retrieved,
    *,
    scope: Scope | None = None,
    least_support: float = SUPPORTED,
) -> tuple[Evidence, ...]:
    """The spans of the hits that stand out, cut to the frames that match, neighbours merged."""
    means = [
        {each.video: each.mean for each in engine.index.spread(query, within=scope)}
        for query in retrieved.queries
    ]
    strong = [each for each in retrieved.found if each.support >= least_support]
    beside = [each for each in retrieved.nearby if each.support >= SUPPORTED]
    within = {(ref.video, ref.ordinal): ref for ref in engine.index.refs(scope)}
    spans = []
    for each in (*strong, *beside):
        matching = each.hit.chunk.span
        if retrieved.queries:
            mean = means[each.query_idx][each.hit.chunk.video]
            matching = _matching(engine, each, retrieved.queries[each.query_idx], mean, within)
        spans.append(
            Evidence(
                video=each.hit.chunk.video,
                span=matching,
                score=each.support,
                origin=each.origin,
                keyframe_s=each.hit.peak_s,
            )
        )
    return merged(spans)


def from_attention(
    chunks: Sequence[ChunkRef], mass: Float32[Tensor, " chunk"] | None
) -> tuple[Evidence, ...]:
    """The recalled chunks that the answer's tokens looked at far more than evenly.

    Args:
        chunks: As recalled, in order.
        mass: Mean attention of the answer's tokens on each; `None` where a family cannot tell.
    """
    if mass is None or len(chunks) < 2 or float(mass.sum()) <= 0:
        return ()
    shares = (mass / mass.sum()).tolist()
    return merged(
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


def combined(by_hits: Sequence[Evidence], by_attention: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Retrieval first, then what attention adds elsewhere."""
    added = [
        each
        for each in by_attention
        if not any(
            kept.video == each.video and kept.span.overlap_s(each.span) > 0 for kept in by_hits
        )
    ]
    return (*by_hits, *added)


def merged(spans: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Spans that touch become one, with the best one's score and keyframe; best first."""
    kept: list[Evidence] = []
    for each in sorted(spans, key=lambda one: (one.video, one.span.start_s)):
        last = kept[-1] if kept else None
        if (
            last is not None
            and last.video == each.video
            and each.span.start_s <= last.span.end_s + _EDGE_S
        ):
            best = max(last, each, key=lambda one: one.score)
            kept[-1] = replace(best, span=last.span.hull(each.span))
        else:
            kept.append(each)
    return tuple(sorted(kept, key=lambda one: -one.score))


def _matching(
    engine: Engine,
    found: ScoredHit,
    query: Float32[Tensor, " dim"],
    mean: float,
    within: Mapping[tuple[VideoId, int], ChunkRef],
) -> TimeSpan:
    """The run of frames around the best one that match at least half as well.

    Half way from the video's mean to the peak; on drawn recordings 0.3 to 0.7 of the way did
    equally well. The run of a hit that stands out may reach into the chunks beside it, for their
    boundary is ours and not the event's; a weak hit's half way is near the mean, where all fits.
    """
    hit, video = found.hit, found.hit.chunk.video
    half_s = 0.5 / engine.sampling.fps
    n_chunks = 2 if found.support >= SUPPORTED else 1

    @cache
    def frames(ordinal: int) -> list[tuple[float, bool]]:
        _, vectors, pts_s = engine.cache.disk.vectors(video, ordinal)
        fits = vectors @ query.float().cpu() >= (hit.score + mean) / 2
        return list(zip(pts_s.tolist(), fits.tolist(), strict=True))

    def walk(step: int) -> tuple[float, float | None, ChunkRef]:
        """The last frame of the run in a direction, the first behind it, and where it lies."""
        reached_s, ref = hit.peak_s, hit.chunk
        for ordinal in (hit.chunk.ordinal, hit.chunk.ordinal + step)[:n_chunks]:
            if (video, ordinal) not in within:
                break
            ref = within[video, ordinal]
            for at_s, fits in frames(ordinal)[::step]:
                if (at_s - hit.peak_s) * step > 0:
                    if not fits:
                        return reached_s, at_s, ref
                    reached_s = at_s
        return reached_s, None, ref

    def edge_s(before_s: float, after_s: float) -> float:
        """When the later frame's picture began: midway, unless still frames were left out."""
        return max((before_s + after_s) / 2, after_s - half_s)

    first_s, before_s, _ = walk(-1)
    last_s, after_s, last = walk(1)
    return TimeSpan(
        start_s=first_s if before_s is None else edge_s(before_s, first_s),
        end_s=last.span.end_s if after_s is None else edge_s(last_s, after_s),
    )
