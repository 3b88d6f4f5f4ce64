"""Latents in memory: on the accelerator, ready for attention, or on the host, one copy away.

A chunk counts with all that it takes: page-locked blocks in the sizes that torch makes them, frame
vectors and times, and what the library adds to every tensor.
"""

import torch

from engine.cache.budget import ChunkKey, key
from engine.records import ChunkRef
from engine.tensors import PackedChunk

TENSOR_BYTES = 480
"""Of a tensor beside its numbers: object, storage and the allocator's rounding (x86-64, torch 2.13,
resident memory of 20,000 small ones)."""
CHUNK_BYTES = 1024
"""Of a held chunk beside its tensors: records, and its places in the tables of tier and budget."""


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
        """Bytes of the chunks held now."""
        return self._used_bytes

    def size_of(self, chunk: PackedChunk) -> int:
        """Return the bytes that a chunk takes here."""
        parts = [tensor.nbytes for _, tensor in chunk.latents.tensors]
        if self._pinned:
            # torch hands out page-locked memory in blocks of powers of two.
            parts = [1 << (nbytes - 1).bit_length() for nbytes in parts if nbytes]
        beside = chunk.frame_vectors.nbytes + chunk.pts_s.nbytes
        n_tensors = len(chunk.latents.tensors) + 2
        return sum(parts) + beside + n_tensors * TENSOR_BYTES + CHUNK_BYTES

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
        self._used_bytes += self.size_of(held)

    def drop(self, ref: ChunkRef) -> None:
        """Forget a chunk; nothing happens when it is not held."""
        held = self._held.pop(key(ref), None)
        if held is not None:
            self._used_bytes -= self.size_of(held)
