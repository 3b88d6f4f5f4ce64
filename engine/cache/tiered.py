"""The memory for latents over all tiers: put, recall any subset, promote, demote."""

import threading
from collections.abc import Iterable, Sequence

import torch

from engine.cache.budget import Budget, CacheConfig, key
from engine.cache.codec import pack, unpack
from engine.cache.disk import DiskTier
from engine.cache.memory import MemoryTier
from engine.errors import CorruptLatentsError
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, VideoId
from engine.tensors import ChunkLatents, Latents, PackedChunk


class LatentCache:
    """Chunks of one pipeline: true on disk, and as near as the budgets allow.

    Safe to use from several threads. What a recall returns depends on what was put, never on
    which tier held it.
    """

    def __init__(self, disk: DiskTier, config: CacheConfig, device: torch.device) -> None:
        self.disk = disk
        self.config = config
        self.device = device
        self._memories = [MemoryTier(torch.device("cpu"), pinned=device.type == "cuda")]
        self._budgets = [Budget(config.host_bytes)]
        if device.type != "cpu":
            self._memories.insert(0, MemoryTier(device))
            self._budgets.insert(0, Budget(config.device_bytes))
        self._lock = threading.RLock()

    def as_stored(self, latents: Latents) -> Latents:
        """What a recall of these latents will give: what a stream has to remember."""
        return unpack(pack(latents, self.config.storage), self.device)

    def put(self, chunk: ChunkLatents, *, activity: float, stats: SampleStats) -> ChunkCommitted:
        """Commit a chunk to disk and keep it near.

        Raises:
            DiskFullError: No space; everything before this chunk is kept.
        """
        packed = PackedChunk(
            ref=chunk.ref,
            latents=pack(chunk.latents, self.config.storage),
            frame_vectors=chunk.frame_vectors.cpu(),
            pts_s=chunk.pts_s.cpu(),
        )
        committed = self.disk.commit(packed, activity=activity, stats=stats)
        with self._lock:
            self._keep(packed, 0)
        return committed

    def recall(self, refs: Iterable[ChunkRef]) -> tuple[ChunkLatents, ...]:
        """Any subset of chunks, each once, video after video and in time order.

        Args:
            refs: In any order; videos come in the order in which they are first named.
        Raises:
            CorruptLatentsError: A chunk is gone or fails its checksum.
        Cost: chunks in no memory are read and verified, one file each.
        """
        unique = {key(ref): ref for ref in refs}
        order = {video: place for place, video in enumerate(dict.fromkeys(v for v, _ in unique))}
        wanted = sorted(unique.values(), key=lambda ref: (order[ref.video], ref.ordinal))
        return tuple(self._unpacked(self._fetch(ref)) for ref in wanted)

    def tail(
        self, video: VideoId, ordinals: Sequence[int], most: int | None
    ) -> tuple[Latents, ...]:
        """The newest chunks of a video, oldest first, that hold at most so many latents."""
        kept: list[Latents] = []
        total = 0
        for ordinal in reversed(ordinals):
            chunk = self.disk.committed(video, ordinal)
            total += chunk.n_latents
            if most is not None and total > most:
                break
            kept.append(self._unpacked(self._fetch(chunk.ref)).latents)
        return tuple(reversed(kept))

    def forget(self, video: VideoId) -> None:
        """Delete a video from every tier."""
        with self._lock:
            self._clear(video)
            self.disk.remove(video)

    def attach(self, video: VideoId, fingerprint: Fingerprint) -> bool:
        """Read a video where another pipeline of the same model left it; whether that can be."""
        with self._lock:
            self._clear(video)
            return self.disk.attach(video, fingerprint)

    def near_bytes(self) -> int:
        """Bytes of latents in memory, device and host together."""
        return sum(memory.used_bytes for memory in self._memories)

    def _clear(self, video: VideoId) -> None:
        for memory, budget in zip(self._memories, self._budgets, strict=True):
            for ref in budget.held(video):
                memory.drop(ref)
                budget.release(ref)

    def _fetch(self, ref: ChunkRef) -> PackedChunk:
        with self._lock:
            for memory, budget in zip(self._memories, self._budgets, strict=True):
                held = memory.get(ref)
                if held is not None:
                    budget.touch(ref)
                    return held
        read = self.disk.get(ref)
        if read is None:
            path = self.disk.path(ref.video, ref.ordinal)
            raise CorruptLatentsError(str(path), "the file is missing")
        with self._lock:
            self._keep(read, 0)
        return read

    def _keep(self, chunk: PackedChunk, level: int) -> None:
        """Hold a chunk as near as it fits; who has to leave goes one level down."""
        if level == len(self._memories):
            return
        memory, budget = self._memories[level], self._budgets[level]
        leaving = budget.admit(chunk.ref, chunk.latents.nbytes)
        if leaving is None:
            self._keep(chunk, level + 1)
            return
        for ref in leaving:
            demoted = memory.get(ref)
            memory.drop(ref)
            if demoted is not None:
                self._keep(demoted, level + 1)
        memory.put(chunk)

    def _unpacked(self, chunk: PackedChunk) -> ChunkLatents:
        return ChunkLatents(
            ref=chunk.ref,
            latents=unpack(chunk.latents, self.device),
            frame_vectors=chunk.frame_vectors,
            pts_s=chunk.pts_s,
        )
