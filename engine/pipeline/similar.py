"""Similarity of chunks to words and to a frame: colours a timeline, finds similar moments."""

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.errors import MissingCapabilityError, NotFoundError
from engine.pipeline.engine import Engine
from engine.records import ALL_TIME, ChunkRef, Hit, Scope, VideoId

_LEAST_RANGE = 1e-6
"""Range of scores below which chunks count as equal: rounding errors of a dot product."""


def similarity(engine: Engine, video: VideoId, query: str) -> dict[int, float]:
    """Return how well each chunk of a video matches a query, against its other chunks.

    Returns:
        By ordinal, from 0, no better than the average chunk, to 1, the best; empty where the
        model has no space that words and pictures share.
    """
    try:
        vector = engine.model.embed_text(query)
    except MissingCapabilityError:
        return {}
    engine.refresh()
    scope = [(video, ALL_TIME)]
    hits = engine.index.search(vector, len(engine.index.refs(scope)) or 1, within=scope).hits
    if len(hits) < 2:
        return {}
    scores = torch.tensor([hit.score for hit in hits])
    mean, best = float(scores.mean()), float(scores.max())
    score_range = max(best - mean, _LEAST_RANGE)
    return {hit.chunk.ordinal: max(0.0, (hit.score - mean) / score_range) for hit in hits}


def like_frame(
    engine: Engine, video: VideoId, time_s: float, *, scope: Scope, top: int
) -> tuple[Hit, ...]:
    """Return the moments that look like a frame, best first; its own chunk is left out.

    Raises:
        NotFoundError: No chunk of the video holds that time.
    """
    return engine.without_damaged(lambda: _like_frame(engine, video, time_s, scope, top))


def frame_vector(engine: Engine, video: VideoId, time_s: float) -> Float32[Tensor, " dim"]:
    """Return the unit vector of the sampled frame nearest to a time.

    Raises:
        NotFoundError: No chunk of the video holds that time.
    """
    return engine.without_damaged(
        lambda: _frame_vector(engine, _chunk_at(engine, video, time_s), time_s)
    )


def _like_frame(
    engine: Engine, video: VideoId, time_s: float, scope: Scope, top: int
) -> tuple[Hit, ...]:
    own_chunk = _chunk_at(engine, video, time_s)
    vector = _frame_vector(engine, own_chunk, time_s)
    # One more than asked for: the frame's own chunk is the nearest of all.
    hits = engine.index.search(vector, top + 1, within=scope).hits
    return tuple(hit for hit in hits if hit.chunk != own_chunk)[:top]


def _chunk_at(engine: Engine, video: VideoId, time_s: float) -> ChunkRef:
    engine.refresh()
    refs = engine.index.refs()
    chunk = next((ref for ref in refs[refs.of_video(video)] if ref.span.contains(time_s)), None)
    if chunk is None:
        raise NotFoundError(f"nothing of {video} is read at {time_s:.1f} s yet")
    return chunk


def _frame_vector(engine: Engine, chunk: ChunkRef, time_s: float) -> Float32[Tensor, " dim"]:
    _, vectors, pts_s = engine.cache.frame_vectors(chunk.video, chunk.ordinal)
    return vectors[int(torch.argmin((pts_s - time_s).abs()))].float()
