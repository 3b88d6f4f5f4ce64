"""Latents in memory: on the accelerator, ready for attention, or on the host, one copy away."""

import torch

from engine.cache.budget import ChunkKey, key
from engine.records import ChunkRef
from engine.tensors import PackedChunk


class MemoryTier:
    """Chunks whose latents lie on one device; their frame vectors stay on the CPU.

    Args:
        device: The device that holds the latents; the host tier's is the CPU.
        pinned: Whether host memory is page-locked, so that an accelerator can fetch it directly.
    """

    def __init__(self, device: torch.device, *, pinned: bool = False) -> None:
        self._device = device
        self._pinned = pinned
        self._used_bytes = 0
        self._held: dict[ChunkKey, PackedChunk] = {}

    @property
    def used_bytes(self) -> int:
        """Bytes of the latents held now."""
        return self._used_bytes

    def get(self, ref: ChunkRef) -> PackedChunk | None:
        """Return the chunk, or `None` when it is not here."""
        return self._held.get(key(ref))

    def put(self, chunk: PackedChunk) -> None:
        """Copy a chunk here; making room first is the caller's business."""
        self.drop(chunk.ref)
        held = PackedChunk(
            ref=chunk.ref,
            latents=chunk.latents.to(self._device, pinned=self._pinned),
            frame_vectors=chunk.frame_vectors,
            pts_s=chunk.pts_s,
        )
        self._held[key(chunk.ref)] = held
        self._used_bytes += held.latents.nbytes

    def drop(self, ref: ChunkRef) -> None:
        """Forget a chunk; nothing happens when it is not held."""
        held = self._held.pop(key(ref), None)
        if held is not None:
            self._used_bytes -= held.latents.nbytes
