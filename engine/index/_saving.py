"""The growing end of an index, and its files: a save writes what has none, and no more."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from engine.index._codes import Codes
from engine.index._manifest import Manifest, SegmentEntry
from engine.index._segment import Segment, StoredSegment, read_segment, write_segment
from engine.index._table import CHUNK, ChunkColumns, TableView
from engine.records import ChunkRef, Fingerprint, VideoId

MOST_ROWS: Final = 1 << 18
"""Rows of a segment that is not merged any further: 3 days of a camera at one frame a second."""
_FIRST_CAPACITY: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """An index at one moment."""

    view: TableView
    segments: tuple[Segment, ...]
    codes: Codes | None

    def unsaved(
        self,
    ) -> Iterator[tuple[ChunkRef, Float32[np.ndarray, "frame dim"], Float64[np.ndarray, " frame"]]]:
        """Yield the chunks that have no file, in their order."""
        for segment in self.segments:
            if segment.name is not None:
                continue
            for idx in range(segment.first_chunk, segment.first_chunk + segment.n_chunks):
                if self.view.is_kept[idx]:
                    chunk = self.view.chunks[idx]
                    rows = slice(int(chunk["place"]), int(chunk["place"] + chunk["n_rows"]))
                    yield self.view.ref(idx), segment.vectors[rows], segment.pts_s[rows]


class Tail:
    """The segment that grows: room is doubled, so that rows which were handed out stay in place."""

    def __init__(self, dim: int, *, first_chunk: int) -> None:
        self.first_chunk = first_chunk
        self.n_chunks = 0
        self.n_rows = 0
        self._vectors = np.empty((0, dim), np.float32)
        self._pts_s = np.empty(0, np.float64)

    def append(
        self,
        vectors: Float32[np.ndarray, "frame dim"],
        pts_s: Float64[np.ndarray, " frame"],
    ) -> None:
        """Add the rows of one chunk."""
        end = self.n_rows + len(pts_s)
        if end > len(self._pts_s):
            capacity = max(_FIRST_CAPACITY, 2 * len(self._pts_s), end)
            grown = np.empty((capacity, self._vectors.shape[1]), np.float32)
            grown[: self.n_rows] = self._vectors[: self.n_rows]
            grown_s = np.empty(capacity, np.float64)
            grown_s[: self.n_rows] = self._pts_s[: self.n_rows]
            self._vectors, self._pts_s = grown, grown_s
        self._vectors[self.n_rows : end] = vectors
        self._pts_s[self.n_rows : end] = pts_s
        self.n_rows = end
        self.n_chunks += 1

    def segment(self) -> Segment:
        """Return what there is now; what is added later does not show in it."""
        return Segment(
            name=None,
            first_chunk=self.first_chunk,
            n_chunks=self.n_chunks,
            vectors=self._vectors[: self.n_rows],
            pts_s=self._pts_s[: self.n_rows],
        )


def save_segments(
    folder: Path,
    fingerprint: Fingerprint,
    view: TableView,
    segments: Iterable[Segment],
    dim: int,
) -> dict[int, Segment]:
    """Write segments as they stand, removed chunks too.

    Returns:
        Each with its file, by its first chunk.
    Raises:
        OSError: A file cannot be written.
    """
    saved = {}
    for segment in segments:
        name, chunks = new_name(), view.chunks[segment.first_chunk :][: segment.n_chunks]
        videos, stored = local_videos(view.videos, chunks)
        rows = [(segment.vectors, segment.pts_s)]
        write_segment(folder / name, fingerprint, videos, stored, rows, dim)
        mapped = read_segment(folder / name, dim, fingerprint, verifies=False)
        saved[segment.first_chunk] = replace(
            segment, name=name, vectors=mapped.vectors, pts_s=mapped.pts_s, overview=None
        )
    return saved


def entries_of(view: TableView, segments: Iterable[Segment]) -> tuple[SegmentEntry, ...]:
    """Return segments that have files as a manifest lists them."""
    entries = []
    for segment in segments:
        assert segment.name is not None, "every segment of a saved index has a file"
        is_kept = view.is_kept[segment.first_chunk :][: segment.n_chunks]
        removed = tuple(np.flatnonzero(~is_kept).tolist())
        entries.append(SegmentEntry(name=segment.name, removed=removed))
    return tuple(entries)


def new_name() -> str:
    """Return the name of a file of a segment that no other has."""
    return f"{secrets.token_hex(8)}.segment"


def local_videos(videos: Sequence[VideoId], chunks: np.ndarray) -> tuple[list[VideoId], np.ndarray]:
    """Return the videos of some chunks, and these with indexes in that list."""
    codes, local = np.unique(chunks["video"], return_inverse=True)
    stored = chunks.copy()
    stored["video"] = local
    return [videos[code] for code in codes.tolist()], stored


def opened(
    stored: Iterable[tuple[SegmentEntry, StoredSegment]],
) -> tuple[ChunkColumns, list[Segment]]:
    """Return the chunks and segments of an index from its files."""
    videos: dict[VideoId, int] = {}
    columns, is_kept, segments = [np.zeros(0, CHUNK)], [np.zeros(0, dtype=bool)], []
    first_chunk = 0
    for entry, segment in stored:
        codes = [videos.setdefault(video, len(videos)) for video in segment.videos]
        chunks = segment.chunks.copy()
        chunks["video"] = np.array(codes, np.int32)[chunks["video"]]
        kept = np.ones(len(chunks), dtype=bool)
        kept[list(entry.removed)] = False
        columns.append(chunks)
        is_kept.append(kept)
        segments.append(
            Segment(
                name=entry.name,
                first_chunk=first_chunk,
                n_chunks=len(chunks),
                vectors=segment.vectors,
                pts_s=segment.pts_s,
                overview=segment.overview,
            )
        )
        first_chunk += len(chunks)
    table = ChunkColumns(videos, np.concatenate(columns), np.concatenate(is_kept))
    return table, segments


def read_all(
    folder: Path, manifest: Manifest, fingerprint: Fingerprint | None, dim: int
) -> list[tuple[SegmentEntry, StoredSegment]]:
    """Open the segments of a saved index.

    Raises:
        OSError: One cannot be read.
        ValueError: One is damaged or of another pipeline; so are `KeyError` and `TypeError`.
    """
    if fingerprint is not None and manifest.fingerprint != fingerprint:
        raise ValueError(f"it is of pipeline {manifest.fingerprint}")
    return [
        (entry, read_segment(folder / entry.name, dim, fingerprint)) for entry in manifest.segments
    ]
