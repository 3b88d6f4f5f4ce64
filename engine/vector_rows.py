"""Vectors in a database, as numbers that pass between the engine and whoever holds them.

The engine imports no database: a table that is handed to it fulfils `VectorTable`.

A place names a chunk: the number of its video in the table, and the chunk's ordinal in the lower
32 bits. Places of a video ascend with time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int64

from engine.records import ChunkRef, Fingerprint, VideoId

PLACE_BITS: Final = 32
"""Bits of a place that hold the ordinal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoChange:
    """A video of which something was added or removed."""

    number: int
    video: VideoId | None
    """`None` where it was removed; its number never comes back."""
    n_frames: int
    mark: int | None
    is_reread: bool
    """Whether something was removed: the chunks that come with the change are all it has."""
    removed_at: int
    """The change that removed something last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableChanges:
    """Additions and removals since a change."""

    change: int
    """Number of the last one."""
    is_whole: bool
    """Whether this is everything, and what was known before is void."""
    index: "TableIndex"
    videos: tuple[VideoChange, ...]
    places: Int64[np.ndarray, " chunk"]
    """Of added chunks, ascending."""
    start_s: Float64[np.ndarray, " chunk"]
    end_s: Float64[np.ndarray, " chunk"]
    n_frames: Int64[np.ndarray, " chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIndex:
    """The graph over the centres of chunks, as it was measured when it was made."""

    n_chunks: int = 0
    """Chunks when it was made; 0 where nobody has tried."""
    recall: float = 0.0
    """Share of the ten nearest chunks that it found, against a pass over all vectors."""
    is_there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """Stretches of places and times, of which none overlap."""

    first: Int64[np.ndarray, " span"]
    last: Int64[np.ndarray, " span"]
    """Inclusive."""
    start_s: Float64[np.ndarray, " span"]
    end_s: Float64[np.ndarray, " span"]
    """Exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkScores:
    """Scores of the frames of each chunk against one query, summed up; by place."""

    places: Int64[np.ndarray, " chunk"]
    n_frames: Int64[np.ndarray, " chunk"]
    best: Float64[np.ndarray, " chunk"]
    sums: Float64[np.ndarray, " chunk"]
    squares: Float64[np.ndarray, " chunk"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameRows:
    """Frames by place and time."""

    places: Int64[np.ndarray, " frame"]
    pts_s: Float64[np.ndarray, " frame"]
    values: Float32[np.ndarray, "frame value"]
    """Vectors, or inner products with each query."""


@runtime_checkable
class VectorTable(Protocol):
    """The vectors of one pipeline or encoder. Safe for several threads and processes.

    Vectors are kept as half floats; queries keep their precision. What cannot be reached raises
    `UnreachableError`, and nothing is half written.
    """

    def changes(self, since: int) -> TableChanges | None:
        """Return what has changed since a change; `None` where nothing has."""
        ...

    def add(
        self,
        chunks: Sequence[tuple[ChunkRef, Float32[np.ndarray, "_ dim"], Float64[np.ndarray, " _"]]],
    ) -> int:
        """Add chunks of one video with vectors and times of their frames; replaces earlier ones.

        Returns:
            The number of the change.
        """
        ...

    def remove(self, video: VideoId, ordinal: int | None) -> int | None:
        """Remove a video or one of its chunks, and its mark; `None` where it is not there."""
        ...

    def note(self, marks: Mapping[VideoId, int]) -> None:
        """Note a number of each of some videos."""
        ...

    def chunk_scores(
        self,
        query: Float32[np.ndarray, " dim"],
        spans: Spans | None,
    ) -> ChunkScores:
        """Return how the frames of spans score, chunk by chunk; those of all where `None`."""
        ...

    def frame_scores(
        self,
        queries: Float32[np.ndarray, "query dim"],
        spans: Spans | None,
    ) -> FrameRows:
        """Return the inner products of queries with each frame of spans."""
        ...

    def frames(
        self, places: Int64[np.ndarray, " chosen"], frame: Int64[np.ndarray, " chosen"] | None
    ) -> FrameRows:
        """Return the vectors of the frames of chunks, or of one frame of each."""
        ...

    def nearest(
        self, query: Float32[np.ndarray, " dim"], spans: Spans | None, count: int, *, by_graph: bool
    ) -> Int64[np.ndarray, " found"]:
        """Return the places of the chunks whose centres score best: by the graph, or of all."""
        ...

    def totals(
        self, numbers: Sequence[int]
    ) -> Mapping[int, tuple[int, Float32[np.ndarray, " dim"]]]:
        """Return the number of frames of videos and the sum of their vectors."""
        ...

    def build_graph(self) -> bool:
        """Build the graph if there is none; `False` where another process does so now."""
        ...

    def note_graph(self, recall: float, *, is_kept: bool) -> None:
        """Note what the graph was found to be worth, and drop one that is not kept."""
        ...


@runtime_checkable
class VectorTables(Protocol):
    """A database with a table for each pipeline and encoder."""

    def open(self, fingerprint: Fingerprint, dim: int) -> VectorTable:
        """Return the table of a fingerprint, made where there is none."""
        ...
