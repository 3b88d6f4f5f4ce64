"""Work of one chunk and one answer, counted on tensors without memory."""

from collections.abc import Callable
from typing import TypeVar

import torch

from engine.evaluation.device_ledger import DeviceCounts, DeviceLedger
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch, Latents, VisualTokens
from tests.support.released_sizes import Model

T = TypeVar("T")


def counted(work: Callable[[], T]) -> tuple[T, DeviceCounts]:
    """Return what some work returns, and what it asked of the device."""
    with DeviceLedger() as ledger:
        result = work()
    return result, ledger.counts


def encoded(model: Model) -> tuple[VisualTokens, DeviceCounts]:
    """Encode one chunk of frames of 336 pixels."""
    n_frames = model.card.chunk_frames
    pixels = torch.zeros(n_frames, 3, 336, 336, dtype=torch.uint8)
    frames = FrameBatch(pixels=pixels, pts_s=torch.arange(n_frames, dtype=torch.float64))
    return counted(lambda: model.encode(frames))


def recalled_chunks(model: Model, latents: Latents, n_chunks: int) -> list[ChunkLatents]:
    """Return so many chunks of the same latents, ten seconds apart."""
    n_frames = model.card.chunk_frames
    return [
        ChunkLatents(
            ref=ChunkRef(
                video=VideoId("v"),
                ordinal=idx,
                span=TimeSpan(start_s=10.0 * idx, end_s=10.0 * idx + 10),
            ),
            latents=latents,
            frame_vectors=torch.zeros(n_frames, model.card.vector_dim),
            pts_s=torch.arange(n_frames, dtype=torch.float64) + 10 * idx,
        )
        for idx in range(n_chunks)
    ]
