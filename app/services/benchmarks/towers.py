"""Towers of a model over chunks of several cameras: each alone, and all in one batch.

A chunk that is encoded alone has the same bytes whenever it is encoded, which a run that was killed
and goes on rests on. In a joint batch a product with the weights may be summed up in another order.
Figures: processor seconds of both ways, and whether tokens and vectors have the same bytes.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from app.config.settings import load_settings
from app.services.benchmarks._footage import patrol
from app.services.context import ServiceContext
from engine.protocols import FitsFrames, VideoModel
from engine.tensors import FrameBatch

N_CAMERAS: Final = 8
N_ROUNDS: Final = 10
_SIZE_PX: Final = (360, 640)


def measure(
    *, model: str | None = None, cameras: int = N_CAMERAS, rounds: int = N_ROUNDS
) -> dict[str, Any]:
    """Encode a chunk of each of some cameras.

    Args:
        model: Whose towers; the settings' when `None`.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = ServiceContext(load_settings({"model": model}, home=Path(folder)))
        try:
            return _measure(context.engine.model, cameras, rounds)
        finally:
            context.close()


def _measure(model: VideoModel, cameras: int, rounds: int) -> dict[str, Any]:
    n = model.card.chunk_frames
    drawn = np.stack(list(patrol(n * cameras, _SIZE_PX)))
    frames = torch.from_numpy(drawn).permute(0, 3, 1, 2)
    chunks = [_batch(model, frames[at : at + n]) for at in range(0, n * cameras, n)]
    joint = FrameBatch(
        pixels=torch.cat([chunk.pixels for chunk in chunks]),
        pts_s=torch.cat([chunk.pts_s for chunk in chunks]),
    )
    alone = [model.encode(chunk) for chunk in chunks]
    together = model.encode(joint)
    alone_s, joint_s = _least_s(
        (lambda: [model.encode(chunk) for chunk in chunks], lambda: model.encode(joint)), rounds
    )
    tokens = torch.cat([part.embeddings for part in alone])
    vectors = torch.cat([part.frame_vectors for part in alone])
    return {
        "cameras": cameras,
        "frames": n * cameras,
        "alone_s": round(alone_s, 4),
        "joint_s": round(joint_s, 4),
        "alone_over_joint": round(alone_s / joint_s, 3),
        "same_tokens": torch.equal(tokens, together.embeddings),
        "same_vectors": torch.equal(vectors, together.frame_vectors),
    }


def _batch(model: VideoModel, pixels: torch.Tensor) -> FrameBatch:
    batch = FrameBatch(pixels=pixels, pts_s=torch.arange(len(pixels), dtype=torch.float64))
    return model.fit(batch) if isinstance(model, FitsFrames) else batch


def _least_s(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the least processor seconds of each way, which are taken in turns."""
    least = [float("inf")] * len(ways)
    for _ in range(rounds):
        for place, way in enumerate(ways):
            started = time.process_time()
            way()
            least[place] = min(least[place], time.process_time() - started)
    return least
