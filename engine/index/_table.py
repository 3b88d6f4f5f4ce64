"""The chunks behind the rows of an index, as columns in the order in which they came.

Readers take a view without a lock: columns only grow, and what is removed is crossed out in a copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from engine.chunk_refs import ChunkRefs
from engine.records import ChunkRef, TimeSpan, VideoId

CHUNK: Final = np.dtype(
    [
        ("video", "<i4"),
        ("n_rows", "<i4"),
        ("ordinal", "<i8"),
        ("start_s", "<f8"),
        ("end_s", "<f8"),
        # Number of its first row, which it keeps when others are removed.
        ("row", "<i8"),
        # Where that row lies in its segment.
        ("place", "<i8"),
    ]
)
"""One chunk; `video` is an index in the list of videos."""

_ORDINAL_BITS: Final = 40
_FIRST_CAPACITY: Final = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Rows in their order: of each chunk those from `first` to before `last`."""

    chunk: Int64[np.ndarray, " run"]
    """Index in the view; a chunk may come twice, where a scope has a hole in it."""
    first: Int64[np.ndarray, " run"]
    last: Int64[np.ndarray, " run"]

    @cached_property
    def counts(self) -> Int64[np.ndarray, " run"]:
        """Rows of each run, at least one."""
        return np.asarray(self.last - self.first)

    def some(self, chosen: Int64[np.ndarray, " chosen"] | slice) -> "Runs":
        """Return some of the runs."""
        return Runs(chunk=self.chunk[chosen], first=self.first[chosen], last=self.last[chosen])

    @cached_property
    def n_rows(self) -> int:
        """Rows of all of them."""
        return int(self.counts.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class TableView:
    """The chunks at one moment."""

    videos: Sequence[VideoId]
    chunks: np.ndarray
    """Of the type `CHUNK`, by row."""
    is_kept: Bool[np.ndarray, " chunk"]
    order: Int64[np.ndarray, " kept"]
    """The chunks that were not removed, by video in order of arrival, then by ordinal."""

    @cached_property
    def refs(self) -> ChunkRefs:
        """The chunks that were not removed, by video in order of arrival, then by ordinal."""
        ordered = self.chunks[self.order]
        counts = np.bincount(ordered["video"], minlength=len(self.videos))
        present = np.flatnonzero(counts)
        return ChunkRefs(
            [self.videos[idx] for idx in present.tolist()],
            np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[present], dtype=np.int64)]),
            np.ascontiguousarray(ordered["ordinal"]),
            np.ascontiguousarray(ordered["start_s"]),
            np.ascontiguousarray(ordered["end_s"]),
        )

    @cached_property
    def everything(self) -> Runs:
        """All rows of the chunks that were not removed."""
        chunk = np.flatnonzero(self.is_kept & (self.chunks["n_rows"] > 0))
        last = self.chunks["n_rows"][chunk].astype(np.int64)
        return Runs(chunk=chunk, first=np.zeros(len(chunk), np.int64), last=last)

    @cached_property
    def _every_video(self) -> Int64[np.ndarray, " video"]:
        return np.unique(self.chunks["video"][self.everything.chunk]).astype(np.int64)

    def videos_of(self, runs: Runs) -> Int64[np.ndarray, " video"]:
        """Return the index of each video that has rows in runs, ascending."""
        if runs is self.everything:
            return self._every_video
        return np.flatnonzero(np.bincount(self.chunks["video"][runs.chunk]))

    @cached_property
    def place(self) -> Int64[np.ndarray, " chunk"]:
        """Index in `refs` of each chunk; -1 for those that were removed."""
        place = np.full(len(self.chunks), -1, np.int64)
        place[self.order] = np.arange(len(self.order))
        return place

    def ref(self, idx: int) -> ChunkRef:
        """Return one chunk as a record."""
        chunk = self.chunks[idx]
        return ChunkRef(
            video=self.videos[int(chunk["video"])],
            ordinal=int(chunk["ordinal"]),
            span=TimeSpan(start_s=float(chunk["start_s"]), end_s=float(chunk["end_s"])),
        )


class ChunkColumns:
    """The chunks of an index; one thread at a time changes it.

    Args:
        videos: In order of arrival.
        chunks: Of the type `CHUNK`, by row.
        is_kept: False for those that were removed.
    """

    def __init__(
        self,
        videos: Iterable[VideoId] = (),
        chunks: np.ndarray | None = None,
        is_kept: Bool[np.ndarray, " chunk"] | None = None,
    ) -> None:
        self.videos = list(videos)
        self._codes = {video: code for code, video in enumerate(self.videos)}
        self._chunks = np.zeros(0, CHUNK) if chunks is None else chunks
        self._n = len(self._chunks)
        self._is_kept = np.ones(self._n, dtype=bool) if is_kept is None else is_kept
        # Chunks by key, sorted; those that came since the last look are apart.
        self._order = np.zeros(0, np.int64)
        self._keys = np.zeros(0, np.int64)
        self._new: dict[int, int] = {}
        self._view: TableView | None = None
        self._sort(np.flatnonzero(self._is_kept))

    @property
    def n_rows(self) -> int:
        """Rows of the chunks that were not removed."""
        return int(self._chunks["n_rows"][: self._n][self._is_kept[: self._n]].sum())

    @property
    def next_row(self) -> int:
        """Number of the row behind the last."""
        if not self._n:
            return 0
        last = self._chunks[self._n - 1]
        return int(last["row"] + last["n_rows"])

    def add(self, chunk: ChunkRef, n_rows: int, row: int, place: int) -> None:
        """Append a chunk that is not there."""
        code = self._codes.get(chunk.video)
        if code is None:
            code = self._codes[chunk.video] = len(self.videos)
            self.videos.append(chunk.video)
        if self._n == len(self._chunks):
            self._grow()
        self._chunks[self._n] = (
            code,
            n_rows,
            chunk.ordinal,
            chunk.span.start_s,
            chunk.span.end_s,
            row,
            place,
        )
        self._is_kept[self._n] = True
        self._new[_key(code, chunk.ordinal)] = self._n
        self._n += 1
        self._view = None

    def find(self, video: VideoId, ordinal: int | None = None) -> Int64[np.ndarray, " found"]:
        """Return the chunks of a video, or one of them, that were not removed."""
        code = self._codes.get(video)
        if code is None:
            return np.zeros(0, np.int64)
        if ordinal is not None and (new := self._new.get(_key(code, ordinal))) is not None:
            return np.array([new])
        if ordinal is None:
            self._merge_new()
        first = _key(code, 0 if ordinal is None else ordinal)
        behind = _key(code + 1, 0) if ordinal is None else first + 1
        bounds = np.searchsorted(self._keys, [first, behind])
        return self._order[slice(*map(int, bounds))]

    def remove(self, chunks: Int64[np.ndarray, " removed"]) -> None:
        """Cross out chunks; views that were taken before still have them."""
        self._merge_new()
        is_kept = self._is_kept.copy()
        is_kept[chunks] = False
        self._is_kept = is_kept
        still = is_kept[self._order]
        self._order, self._keys = self._order[still], self._keys[still]
        self._view = None

    def view(self) -> TableView:
        """Return the chunks as they are now."""
        if self._view is None:
            self._merge_new()
            self._view = TableView(
                videos=self.videos,
                chunks=self._chunks[: self._n],
                is_kept=self._is_kept[: self._n],
                order=self._order,
            )
        return self._view

    def _grow(self) -> None:
        capacity = max(_FIRST_CAPACITY, 2 * len(self._chunks))
        chunks, is_kept = np.zeros(capacity, CHUNK), np.zeros(capacity, dtype=bool)
        chunks[: self._n], is_kept[: self._n] = self._chunks, self._is_kept
        self._chunks, self._is_kept = chunks, is_kept

    def _merge_new(self) -> None:
        if not self._new:
            return
        keys = np.array(sorted(self._new), dtype=np.int64)
        chunks = np.array([self._new[key] for key in keys.tolist()], dtype=np.int64)
        at = np.searchsorted(self._keys, keys)
        self._keys = np.insert(self._keys, at, keys)
        self._order = np.insert(self._order, at, chunks)
        self._new = {}

    def _sort(self, chunks: Int64[np.ndarray, " kept"]) -> None:
        kept = self._chunks[chunks]
        keys = (kept["video"].astype(np.int64) << _ORDINAL_BITS) | kept["ordinal"]
        by_key = np.argsort(keys, kind="stable")
        self._keys, self._order = keys[by_key], chunks[by_key]


def _key(code: int, ordinal: int) -> int:
    return (code << _ORDINAL_BITS) | ordinal
