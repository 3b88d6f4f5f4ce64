"""The growing end of an index, and what a save makes of its segments."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from engine.index._codes import Codes
from engine.index._manifest import Manifest, SegmentEntry
from engine.index._segment import Segment, StoredSegment, read_segment, write_segment
from engine.index._table import CHUNK, ChunkColumns, TableView
from engine.records import Fingerprint, VideoId

MOST_ROWS: Final = 1 << 18
"""Rows of a segment that is not merged any further: 3 days of a camera at one frame a second."""
MOST_REMOVED: Final = 0.25
"""Share of removed rows from which a segment is written again without them."""
_FIRST_CAPACITY: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """An index at one moment."""

    view: TableView
    segments: tuple[Segment, ...]
    codes: Codes | None


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """One segment that a save has written from one or several."""

    name: str
    kept: Int64[np.ndarray, " chunk"]
    """The chunks of the view that it holds."""
    chunks: np.ndarray
    stored: StoredSegment | None
    """`None` where nothing was left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedState:
    """The segments and chunks after a save."""

    segments: list[Segment]
    chunks: np.ndarray
    origin: Int64[np.ndarray, " chunk"]
    """Of each chunk, its index in the view before."""

    @classmethod
    def joined(
        cls,
        taken: Snapshot,
        groups: Sequence[Sequence[Segment]],
        rewritten: Sequence[Written | None],
    ) -> "SavedState":
        """Join segments that stay with those that were written."""
        segments: list[Segment] = []
        columns, origin = [np.zeros(0, CHUNK)], [np.zeros(0, np.int64)]
        first_chunk = 0
        for group, written in zip(groups, rewritten, strict=True):
            if written is None:
                (segment,) = group
                kept = np.arange(segment.first_chunk, segment.first_chunk + segment.n_chunks)
                segments.append(replace(segment, first_chunk=first_chunk))
                columns.append(taken.view.chunks[kept])
            elif written.stored is not None:
                kept = written.kept
                segments.append(
                    Segment(
                        name=written.name,
                        first_chunk=first_chunk,
                        n_chunks=len(kept),
                        vectors=written.stored.vectors,
                        pts_s=written.stored.pts_s,
                        overview=written.stored.overview,
                    )
                )
                columns.append(written.chunks)
            else:
                continue
            origin.append(kept)
            first_chunk += len(kept)
        return cls(segments=segments, chunks=np.concatenate(columns), origin=np.concatenate(origin))

    def is_kept(self, before: TableView) -> np.ndarray:
        """Return which chunks were not removed when the save began."""
        return np.asarray(before.is_kept[self.origin])

    def entries(self, before: TableView) -> tuple[SegmentEntry, ...]:
        """Return the segments as a manifest lists them."""
        is_kept, entries = self.is_kept(before), []
        for segment in self.segments:
            assert segment.name is not None, "every segment of a saved index has a file"
            of_segment = is_kept[segment.first_chunk :][: segment.n_chunks]
            removed = tuple(np.flatnonzero(~of_segment).tolist())
            entries.append(SegmentEntry(name=segment.name, removed=removed))
        return tuple(entries)


def plan(taken: Snapshot, on_disk: frozenset[str] | None) -> list[list[Segment]]:
    """Return the segments in groups: those of one group are written as one.

    Args:
        taken: The index.
        on_disk: Files that are there; nothing is when `None`.
    """
    groups: list[list[Segment]] = []
    is_written = False
    for segment in reversed(taken.segments):
        n_rows = len(segment.vectors)
        has_no_file = segment.name is None or on_disk is None or segment.name not in on_disk
        together = sum(len(other.vectors) for other in groups[-1]) if groups else 0
        joins = is_written and (n_rows <= 2 * together or has_no_file)
        if joins and n_rows + together <= MOST_ROWS:
            groups[-1].append(segment)
        else:
            groups.append([segment])
            is_written = has_no_file
    return [group[::-1] for group in reversed(groups)]


def rewrite(
    folder: Path,
    fingerprint: Fingerprint,
    taken: Snapshot,
    group: Sequence[Segment],
    dim: int,
) -> Written | None:
    """Write segments as one; `None` where the one of a group stays as it is.

    Raises:
        OSError: The file cannot be written.
    """
    if len(group) == 1 and not _has_to_be_written(taken.view, group[0], folder):
        return None
    kept = np.concatenate(
        [
            segment.first_chunk
            + np.flatnonzero(taken.view.is_kept[segment.first_chunk :][: segment.n_chunks])
            for segment in group
        ]
    )
    name = f"{secrets.token_hex(8)}.segment"
    chunks = taken.view.chunks[kept].copy()
    chunks["place"] = np.cumsum(chunks["n_rows"], dtype=np.int64) - chunks["n_rows"]
    codes, local = np.unique(chunks["video"], return_inverse=True)
    videos = [taken.view.videos[code] for code in codes.tolist()]
    stored = chunks.copy()
    stored["video"] = local
    if len(kept):
        write_segment(
            folder / name,
            fingerprint,
            videos,
            stored,
            _kept_rows(taken.view, group),
            dim,
        )
        mapped = read_segment(folder / name, dim, fingerprint, verifies=False)
    return Written(name=name, kept=kept, chunks=chunks, stored=mapped if len(kept) else None)


def _has_to_be_written(view: TableView, segment: Segment, folder: Path) -> bool:
    """Tell whether a segment has no file, or too much in its file that was removed."""
    if segment.name is None or not (folder / segment.name).exists():
        return True
    bounds = slice(segment.first_chunk, segment.first_chunk + segment.n_chunks)
    n_removed = int(view.chunks["n_rows"][bounds][~view.is_kept[bounds]].sum())
    return n_removed > MOST_REMOVED * len(segment.vectors)


def _kept_rows(
    view: TableView, group: Sequence[Segment]
) -> Iterable[tuple[Float32[np.ndarray, "row dim"], Float64[np.ndarray, " row"]]]:
    """Yield the rows of segments that were not removed, in stretches of neighbours."""
    for segment in group:
        bounds = slice(segment.first_chunk, segment.first_chunk + segment.n_chunks)
        chunks = view.chunks[bounds][view.is_kept[bounds]]
        begin, end = chunks["place"], chunks["place"] + chunks["n_rows"]
        breaks = np.flatnonzero(begin[1:] != end[:-1]) + 1
        for stretch in np.split(np.arange(len(chunks)), breaks):
            if len(stretch):
                rows = slice(int(begin[stretch[0]]), int(end[stretch[-1]]))
                yield segment.vectors[rows], segment.pts_s[rows]


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
