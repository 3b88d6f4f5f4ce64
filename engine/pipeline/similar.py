"""How near chunks are to words or to a frame: what colours a timeline and finds similar moments."""

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.errors import MissingCapabilityError, NotFoundError
from engine.pipeline.engine import Engine, refresh
from engine.pipeline.retrieve import Scope
from engine.records import Hit, TimeSpan, VideoId

_WHOLE = TimeSpan(start_s=0.0, end_s=1e12)


def similarity(engine: Engine, video: VideoId, query: str) -> dict[int, float]:
    """How well each chunk of a video matches a query, against its other chunks, by ordinal.

    Returns:
        From 0, no better than the average chunk, to 1, the best; empty where the model has no
        space that words and pictures share.
    """
    try:
        vector = engine.model.embed_text(query)
    except MissingCapabilityError:
        return {}
    refresh(engine)
    within = [(video, _WHOLE)]
    hits = engine.index.search(vector, len(engine.index.refs(within)) or 1, within=within)
    if len(hits) < 2:
        return {}
    scores = torch.tensor([hit.score for hit in hits])
    mean, best = float(scores.mean()), float(scores.max())
    spread = max(best - mean, 1e-6)
    return {hit.chunk.ordinal: max(0.0, (hit.score - mean) / spread) for hit in hits}


def like_frame(
    engine: Engine, video: VideoId, time_s: float, *, scope: Scope, top: int
) -> tuple[Hit, ...]:
    """The moments that look like a frame, best first; its own chunk is left out."""
    refresh(engine)
    refs = engine.index.refs([(video, _WHOLE)])
    here = next((ref for ref in refs if ref.span.contains(time_s)), None)
    if here is None:
        raise NotFoundError(f"nothing of {video} is read at {time_s:.1f} s yet")
    vector = _frame_vector(engine, video, here.ordinal, time_s)
    hits = engine.index.search(vector, top + 1, within=scope)
    return tuple(hit for hit in hits if hit.chunk != here)[:top]


def _frame_vector(
    engine: Engine, video: VideoId, ordinal: int, time_s: float
) -> Float32[Tensor, " dim"]:
    _, vectors, pts_s = engine.cache.disk.vectors(video, ordinal)
    return vectors[int(torch.argmin((pts_s - time_s).abs()))].float()
