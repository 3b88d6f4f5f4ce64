"""The memory for latents over all tiers: put, recall any subset, promote, demote."""

import threading
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from engine.cache.budget import Budget, CacheConfig, key
from engine.cache.codec import pack, unpack
from engine.cache.disk import DiskTier
from engine.cache.memory import MemoryTier
from engine.errors import CorruptLatentsError
from engine.records import ALL_TIME, ChunkCommitted, ChunkRef, Fingerprint, SampleStats, VideoId
from engine.tensors import ChunkLatents, Latents, PackedChunk


class LatentCache:
    """Chunks of one pipeline: true on disk, and as near as the budgets allow.

    Safe to use from several threads. What a recall returns depends on what was put, never on
    which tier held it.
    """

    def __init__(self, disk: DiskTier, config: CacheConfig, device: torch.device) -> None:
        self._disk = disk
        self._storage = config.storage
        self._device = device
        self._memories = [MemoryTier(torch.device("cpu"), pinned=device.type == "cuda")]
        self._budgets = [Budget(config.host_bytes)]
        if device.type != "cpu":
            self._memories.insert(0, MemoryTier(device))
            limit_bytes = config.device_bytes
            self._budgets.insert(0, Budget(limit_bytes or 0))
        self._lock = threading.RLock()

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that the tiers above the disk take now."""
        return sum(memory.used_bytes for memory in self._memories)

    def as_stored(self, latents: Latents) -> Latents:
        """Return latents as a recall will give them: a stream has to remember these."""
        return unpack(pack(latents, self._storage), self._device)

    def put(self, chunk: ChunkLatents, *, activity: float, stats: SampleStats) -> ChunkCommitted:
        """Commit a chunk to disk and keep it near.

        Raises:
            DiskFullError: No space; everything before this chunk is kept.
        """
        packed = PackedChunk(
            ref=chunk.ref,
            latents=pack(chunk.latents, self._storage),
            frame_vectors=chunk.frame_vectors.cpu(),
            pts_s=chunk.pts_s.cpu(),
        )
        committed = self._disk.commit(packed, activity=activity, stats=stats)
        with self._lock:
            self._keep(packed, 0)
        return committed

    def recall(self, refs: Iterable[ChunkRef]) -> tuple[ChunkLatents, ...]:
        """Return any subset of chunks, each once, video after video and in time order.

        Args:
            refs: In any order; videos come in the order in which they are first named.
        Raises:
            CorruptLatentsError: A chunk is gone or fails its checksum.
        Cost: chunks in no memory are read and verified, one file each.
        """
        unique = {key(ref): ref for ref in refs}
        order = {video: idx for idx, video in enumerate(dict.fromkeys(v for v, _ in unique))}
        ordered = sorted(unique.values(), key=lambda ref: (order[ref.video], ref.ordinal))
        return tuple(self._unpacked(self._fetch(ref)) for ref in ordered)

    def tail(
        self, video: VideoId, ordinals: Sequence[int], max_latents: int | None
    ) -> tuple[Latents, ...]:
        """Return the newest chunks of a video, oldest first, that hold at most so many latents."""
        kept: list[Latents] = []
        total = 0
        for ordinal in reversed(ordinals):
            chunk = self._disk.committed(video, ordinal)
            total += chunk.n_latents
            if max_latents is not None and total > max_latents:
                break
            kept.append(self._unpacked(self._fetch(chunk.ref)).latents)
        return tuple(reversed(kept))

    def videos(self) -> tuple[VideoId, ...]:
        """Return the videos that have chunks here, sorted."""
        return self._disk.videos()

    def look_again(self, video: VideoId) -> None:
        """Have the chunks of a video listed anew, however lately they were."""
        self._disk.look_again(video)

    def noted_at_ns(self) -> int:
        """Return when any chunk came or went, of whatever video."""
        return self._disk.noted_at_ns()

    def changes_ns(self) -> dict[VideoId, int]:
        """Return when a chunk of each video came or went; nothing is listed or opened."""
        return self._disk.changes_ns()

    def ordinals(self, video: VideoId) -> tuple[int, ...]:
        """Return the ordinals of a video's committed chunks, sorted; nothing is opened."""
        return self._disk.ordinals(video)

    def sizes(self, video: VideoId) -> dict[int, int]:
        """Return the bytes of each committed chunk's file, by ordinal; nothing is opened."""
        return self._disk.sizes(video)

    def changed_at_ns(self, video: VideoId, ordinal: int | None = None) -> int | None:
        """Return when a chunk came or went, or this one was written; `None` when it is not here."""
        return self._disk.changed_at_ns(video, ordinal)

    def committed(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read the record that `put` returned for a chunk.

        Raises:
            CorruptLatentsError: The chunk is gone, or its header fails its checksum.
        """
        return self._disk.committed(video, ordinal)

    def frame_vectors(self, video: VideoId, ordinal: int) -> tuple[ChunkRef, Tensor, Tensor]:
        """Read a chunk's place, frame vectors and times, without its latents.

        Raises:
            CorruptLatentsError: The chunk is gone, or these fail their checksum.
        """
        return self._disk.frame_vectors(video, ordinal)

    def pipeline_of(self, video: VideoId) -> Fingerprint:
        """Return the pipeline whose chunks of a video are read."""
        return self._disk.pipeline_of(video)

    def attach(self, video: VideoId, fingerprint: Fingerprint) -> bool:
        """Read a video where another pipeline left it, from now on.

        Returns:
            Whether that can be done: a pipeline of another model's cannot be read.
        """
        with self._lock:
            self._clear(video)
            return self._disk.attach(video, fingerprint)

    def sweep(self, video: VideoId) -> None:
        """Delete files that killed writers left half written."""
        self._disk.sweep(video)

    def drop(self, ref: ChunkRef) -> None:
        """Delete a chunk from every tier; nothing happens when there is none."""
        with self._lock:
            self._release(ref)
            self._disk.drop(ref)

    def verify(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read a chunk's file whole and return its record.

        Raises:
            CorruptLatentsError: It fails a checksum, or is another chunk's.
        """
        return self._disk.verify(video, ordinal)

    def set_aside(self, video: VideoId, ordinal: int) -> None:
        """Take a damaged chunk out of every tier; its file gets another name."""
        ref = ChunkRef(video=video, ordinal=ordinal, span=ALL_TIME)
        with self._lock:
            self._release(ref)
            self._disk.set_aside(video, ordinal)

    def forget(self, video: VideoId) -> None:
        """Delete a video from every tier."""
        with self._lock:
            self._clear(video)
            self._disk.remove(video)

    def remove_superseded(self, video: VideoId) -> None:
        """Delete what other pipelines than the present one of a video have read of it."""
        self._disk.remove_superseded(video)

    def _release(self, ref: ChunkRef) -> None:
        for memory, budget in zip(self._memories, self._budgets, strict=True):
            memory.drop(ref)
            budget.release(ref)

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
        read = self._disk.get(ref)
        if read is None:
            path = self._disk.path(ref.video, ref.ordinal)
            chunk = (ref.video, ref.ordinal)
            raise CorruptLatentsError(str(path), "the file is missing", chunk=chunk)
        with self._lock:
            self._keep(read, 0)
        return read

    def _keep(self, chunk: PackedChunk, level: int) -> None:
        """Hold a chunk as near as it fits; chunks that have to leave go one level down."""
        if level == len(self._memories):
            return
        memory, budget = self._memories[level], self._budgets[level]
        leaving = budget.admit(chunk.ref, memory.size_of(chunk))
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
            latents=unpack(chunk.latents, self._device),
            frame_vectors=chunk.frame_vectors,
            pts_s=chunk.pts_s,
        )
