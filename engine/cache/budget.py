"""Bytes allowed per tier, and which chunk leaves first when they run out."""

from collections import OrderedDict
from dataclasses import dataclass

from engine.records import ChunkRef, Storage, VideoId

ChunkKey = tuple[VideoId, int]
"""Video and ordinal: what identifies a chunk within one pipeline fingerprint."""


def key(ref: ChunkRef) -> ChunkKey:
    """Return the key of a chunk within a tier; its span is not part of its identity."""
    return ref.video, ref.ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Sizes of the tiers, and the form in which latents are kept."""

    device_bytes: int | None = None
    """On the accelerator; unused when the model runs on the CPU. `None` takes what is free
    there once the weights are loaded, less what reading chunks and answering need."""
    host_bytes: int = 1 << 30
    disk_bytes: int | None = None
    """`None` leaves the disk's own size as the limit."""
    storage: Storage = "native"

    def __post_init__(self) -> None:
        for name in ("device_bytes", "host_bytes", "disk_bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, not {value}")


class Budget:
    """Counts the bytes of one tier and names those that must leave: least recently used first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._held: OrderedDict[ChunkKey, tuple[ChunkRef, int]] = OrderedDict()

    def touch(self, ref: ChunkRef) -> None:
        """Note a use: of all chunks held now, this one leaves last."""
        if key(ref) in self._held:
            self._held.move_to_end(key(ref))

    def admit(self, ref: ChunkRef, nbytes: int) -> tuple[ChunkRef, ...] | None:
        """Make room for a chunk and count it.

        Returns:
            The chunks that have to leave, oldest use first; `None` when the chunk is larger
            than the tier.
        """
        self.release(ref)
        if nbytes > self.limit_bytes:
            return None
        leaving = []
        while self.used_bytes + nbytes > self.limit_bytes:
            oldest, _ = next(iter(self._held.values()))
            self.release(oldest)
            leaving.append(oldest)
        self._held[key(ref)] = (ref, nbytes)
        self.used_bytes += nbytes
        return tuple(leaving)

    def release(self, ref: ChunkRef) -> None:
        """Stop counting a chunk; nothing happens when it is not counted."""
        _, nbytes = self._held.pop(key(ref), (ref, 0))
        self.used_bytes -= nbytes

    def held(self, video: VideoId) -> tuple[ChunkRef, ...]:
        """Return the chunks of a video that are counted now."""
        return tuple(ref for ref, _ in self._held.values() if ref.video == video)
