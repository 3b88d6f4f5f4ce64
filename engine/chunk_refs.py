"""Many chunks as columns: a year of a camera has millions, and a question names a few of them."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from jaxtyping import Bool, Float64, Int64

from engine.records import ALL_TIME, ChunkRef, Scope, TimeSpan, VideoId


class ChunkRefs(Sequence[ChunkRef]):
    """Chunks by video, then by ordinal; a record is made of a chunk when it is asked for.

    Args:
        videos: In the order in which their chunks stand; each once, each with chunks.
        offsets: Where the chunks of each video begin, and their number at the end.
        ordinals: Ascending within a video.
        start_s: Of each chunk.
        end_s: Of each chunk.
    """

    def __init__(
        self,
        videos: Sequence[VideoId],
        offsets: Int64[np.ndarray, " bound"],
        ordinals: Int64[np.ndarray, " chunk"],
        start_s: Float64[np.ndarray, " chunk"],
        end_s: Float64[np.ndarray, " chunk"],
    ) -> None:
        self.videos = tuple(videos)
        self.offsets = offsets
        self.ordinals = ordinals
        self.start_s = start_s
        self.end_s = end_s

    @classmethod
    def of(cls, refs: Iterable[ChunkRef]) -> "ChunkRefs":
        """Return records as columns.

        Args:
            refs: Those of one video together, by ordinal.
        """
        listed = tuple(refs)
        counts: dict[VideoId, int] = {}
        for ref in listed:
            counts[ref.video] = counts.get(ref.video, 0) + 1
        return cls(
            tuple(counts),
            np.cumsum([0, *counts.values()], dtype=np.int64),
            np.array([ref.ordinal for ref in listed], dtype=np.int64),
            np.array([ref.span.start_s for ref in listed], dtype=np.float64),
            np.array([ref.span.end_s for ref in listed], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.ordinals)

    @overload
    def __getitem__(self, at: int) -> ChunkRef: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[ChunkRef, ...]: ...
    def __getitem__(self, at: int | slice) -> ChunkRef | tuple[ChunkRef, ...]:
        if isinstance(at, slice):
            return tuple(self[idx] for idx in range(*at.indices(len(self))))
        idx = range(len(self))[at]
        span = TimeSpan(start_s=float(self.start_s[idx]), end_s=float(self.end_s[idx]))
        video = self.videos[int(np.searchsorted(self.offsets, idx, side="right")) - 1]
        return ChunkRef(video=video, ordinal=int(self.ordinals[idx]), span=span)

    def __iter__(self) -> Iterator[ChunkRef]:
        return (self[idx] for idx in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            ref == beside for ref, beside in zip(self, other, strict=True)
        )

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"ChunkRefs({len(self)} chunks of {len(self.videos)} videos)"

    @cached_property
    def video_idx(self) -> Int64[np.ndarray, " chunk"]:
        """Index in `videos` of each chunk's video."""
        return np.repeat(np.arange(len(self.videos)), np.diff(self.offsets))

    @cached_property
    def _places(self) -> dict[VideoId, int]:
        return {video: idx for idx, video in enumerate(self.videos)}

    def has(self, video: VideoId) -> bool:
        """Tell whether chunks of a video are among these."""
        return video in self._places

    def place_of(self, video: VideoId, ordinal: int) -> int | None:
        """Return the index of a chunk; `None` where it is not among these."""
        idx = self._places.get(video)
        if idx is None:
            return None
        first, last = int(self.offsets[idx]), int(self.offsets[idx + 1])
        place = first + int(np.searchsorted(self.ordinals[first:last], ordinal))
        return place if place < last and self.ordinals[place] == ordinal else None

    def find(self, video: VideoId, ordinal: int) -> ChunkRef | None:
        """Return the chunk of a video with an ordinal; `None` where it is not among these."""
        place = self.place_of(video, ordinal)
        return None if place is None else self[place]

    def of_video(self, video: VideoId) -> slice:
        """Return where the chunks of a video stand; an empty stretch where it has none."""
        idx = self._places.get(video)
        return slice(0, 0) if idx is None else slice(*map(int, self.offsets[idx : idx + 2]))

    def in_order_of(self, videos: Iterable[VideoId]) -> "ChunkRefs":
        """Return the chunks of some videos, in the order in which these are named."""
        idx = np.array(
            [self._places[video] for video in dict.fromkeys(videos) if video in self._places],
            dtype=np.int64,
        )
        if len(idx) == len(self.videos) and (np.diff(idx) > 0).all():
            return self
        counts = np.diff(self.offsets)[idx]
        return self._taken([self.videos[i] for i in idx], counts, ranges(self.offsets[idx], counts))

    def where(self, kept: Bool[np.ndarray, " chunk"]) -> "ChunkRefs":
        """Return some of the chunks, in their order."""
        if kept.all():
            return self
        counts = np.bincount(self.video_idx[kept], minlength=len(self.videos))
        videos = [self.videos[idx] for idx in np.flatnonzero(counts)]
        return self._taken(videos, counts[counts > 0], np.flatnonzero(kept))

    def are_within(self, scope: Scope) -> bool:
        """Tell whether a scope takes all of every video here, each once."""
        if len(scope) < len(self.videos):
            return False
        if not all(span is ALL_TIME or span == ALL_TIME for _, span in scope):
            return False
        named = {video for video, _ in scope}
        return len(named) == len(scope) and named.issuperset(self.videos)

    def reaching_into(self, scope: Scope) -> "ChunkRefs":
        """Return the chunks that reach into a scope, in their order."""
        if self.are_within(scope):
            return self
        pairs, start_s, end_s = self.pairs(scope)
        is_within = (self.start_s[pairs] < end_s) & (start_s < self.end_s[pairs])
        kept = np.zeros(len(self), dtype=bool)
        kept[pairs[is_within]] = True
        return self.where(kept)

    def pairs(
        self, scope: Scope
    ) -> tuple[
        Int64[np.ndarray, " pair"], Float64[np.ndarray, " pair"], Float64[np.ndarray, " pair"]
    ]:
        """Return each chunk with each span of a scope that is of its video.

        Returns:
            Index of the chunk, start and end of the span.
        """
        parts = [(self._places[video], span) for video, span in scope if video in self._places]
        idx = np.array([place for place, _ in parts], dtype=np.int64)
        counts = np.diff(self.offsets)[idx]
        start_s = np.array([span.start_s for _, span in parts], dtype=np.float64)
        end_s = np.array([span.end_s for _, span in parts], dtype=np.float64)
        chunks = ranges(self.offsets[idx], counts)
        return chunks, np.repeat(start_s, counts), np.repeat(end_s, counts)

    def _taken(
        self,
        videos: Sequence[VideoId],
        counts: Int64[np.ndarray, " video"],
        chunks: Int64[np.ndarray, " chunk"],
    ) -> "ChunkRefs":
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        return ChunkRefs(
            videos, offsets, self.ordinals[chunks], self.start_s[chunks], self.end_s[chunks]
        )


def ranges(
    starts: Int64[np.ndarray, " run"], counts: Int64[np.ndarray, " run"]
) -> Int64[np.ndarray, " item"]:
    """Return the numbers of several runs, one after the other: `starts`, and those that follow."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    begin = np.repeat(np.asarray(starts, np.int64) - (ends - counts), counts)
    return np.asarray(np.arange(total) + begin)
