"""Segments written anew beside an index in use: small ones as one, and without what was removed.

A save writes what is new and lists what was removed; everything else happens here, on a thread of
its own, in a folder of its own. What it has written takes its place in the moment in which the
list of files is replaced: a kill before that leaves files that the next compaction sweeps up.
"""

import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from engine.files import make_folder
from engine.index._manifest import (
    COMPACTING,
    Manifest,
    SegmentEntry,
    locked,
    read_manifest,
    sweep,
    write_manifest,
)
from engine.index._overview import make_overview, overview_paths, read_overview, write_overview
from engine.index._saving import MOST_ROWS, Snapshot, entries_of, local_videos, new_name
from engine.index._segment import Segment, StoredSegment, read_segment, write_segment
from engine.index._table import CHUNK, ChunkColumns, TableView
from engine.records import Fingerprint

MOST_REMOVED: Final = 0.25
"""Share of removed rows from which a segment is written again without them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """One segment that was written from one or several."""

    name: str
    kept: Int64[np.ndarray, " chunk"]
    """The chunks of the view that it holds."""
    chunks: np.ndarray
    stored: StoredSegment | None
    """`None` where nothing was left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compacted:
    """The segments and chunks after a compaction."""

    taken: Snapshot
    """What they were written from."""
    segments: list[Segment]
    chunks: np.ndarray
    origin: Int64[np.ndarray, " chunk"]
    """Of each chunk, its index in the view before."""
    table: ChunkColumns
    """Sorted already: questions wait while it is put in place."""

    @classmethod
    def joined(
        cls,
        taken: Snapshot,
        groups: Sequence[Sequence[Segment]],
        rewritten: Sequence[Written | None],
    ) -> "Compacted":
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
        chunks, places = np.concatenate(columns), np.concatenate(origin)
        is_kept = taken.view.is_kept[places]
        return cls(
            taken=taken,
            segments=segments,
            chunks=chunks,
            origin=places,
            table=ChunkColumns(taken.view.videos, chunks, is_kept),
        )

    def put_into(self, now: TableView) -> tuple[ChunkColumns, int]:
        """Return the chunks of an index with these in it, and by how much later ones move.

        Args:
            now: The chunks that it has, with what was added and removed meanwhile.
        """
        before, n_before = self.taken.view, len(self.taken.view.chunks)
        later_removed = np.flatnonzero(before.is_kept & ~now.is_kept[:n_before])
        gone = np.flatnonzero(np.isin(self.origin, later_removed))
        if len(gone):
            self.table.remove(gone)
        shift = len(self.chunks) - n_before
        for idx in range(n_before, len(now.chunks)):
            chunk = now.chunks[idx]
            sizes = (int(chunk["n_rows"]), int(chunk["row"]), int(chunk["place"]))
            self.table.add(now.ref(idx), *sizes)
            if not now.is_kept[idx]:
                self.table.remove(np.array([idx + shift]))
        return self.table, shift

    def with_later(self, segments: Sequence[Segment], shift: int) -> list[Segment]:
        """Return these segments and those that an index got meanwhile."""
        n_before = len(self.taken.view.chunks)
        later = (segment for segment in segments if segment.first_chunk >= n_before)
        moved = (replace(segment, first_chunk=segment.first_chunk + shift) for segment in later)
        return [*self.segments, *moved]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Versions of the list of files: the one that was replaced, and the one that stands."""

    replaced: str
    version: str


def compact(
    folder: Path, beside: Path, fingerprint: Fingerprint, taken: Snapshot, dim: int
) -> Compacted | None:
    """Write the segments of an index anew that are due; `None` where none is.

    Args:
        folder: Of the index.
        beside: Where they are written.
        fingerprint: Of the pipeline or the encoder.
        taken: The index.
        dim: Components of a vector.
    Raises:
        OSError: They cannot be written.
    """
    manifest = read_manifest(folder)
    saved = None if manifest is None else listed(taken, manifest)
    if saved is None or not is_any_due(saved):
        return None
    groups = plan(saved.segments)
    rewritten = [rewrite(beside, fingerprint, saved, group, dim) for group in groups]
    return Compacted.joined(saved, groups, rewritten)


@contextmanager
def only_compaction(folder: Path) -> Iterator[Path | None]:
    """Yield an empty folder to write in, inside that of an index; `None` while another compacts.

    Raises:
        OSError: The folder cannot be written to.
    """
    with locked(folder / f"{COMPACTING}.lock", waits=False) as is_alone:
        if not is_alone:
            yield None
            return
        beside = folder / COMPACTING
        shutil.rmtree(beside, ignore_errors=True)
        make_folder(beside)
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def listed(taken: Snapshot, manifest: Manifest) -> Snapshot | None:
    """Return the segments of an index that have files, and what is listed of them as removed.

    What was removed since the list was written stays: a save has yet to tell of it.

    Returns:
        `None` where the list is of other segments.
    """
    segments = tuple(segment for segment in taken.segments if segment.name is not None)
    is_kept = listed_chunks(segments, manifest)
    if is_kept is None:
        return None
    chunks = taken.view.chunks[: len(is_kept)]
    order = np.zeros(0, np.int64)
    view = TableView(videos=taken.view.videos, chunks=chunks, is_kept=is_kept, order=order)
    return Snapshot(view=view, segments=segments, codes=taken.codes)


def listed_chunks(segments: Sequence[Segment], manifest: Manifest) -> np.ndarray | None:
    """Return which chunks of segments are not listed as removed; `None` of other segments.

    The list may go on behind them.
    """
    entries = manifest.segments[: len(segments)]
    if [entry.name for entry in entries] != [segment.name for segment in segments]:
        return None
    is_kept = np.ones(sum(segment.n_chunks for segment in segments), dtype=bool)
    for segment, entry in zip(segments, entries, strict=True):
        is_kept[segment.first_chunk + np.array(entry.removed, dtype=np.int64)] = False
    return is_kept


def plan(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Return segments in groups: those of one group are written as one."""
    groups: list[list[Segment]] = []
    for segment in reversed(segments):
        n_rows = len(segment.vectors)
        together = sum(len(other.vectors) for other in groups[-1]) if groups else 0
        if groups and n_rows <= 2 * together and n_rows + together <= MOST_ROWS:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return [group[::-1] for group in reversed(groups)]


def is_any_due(taken: Snapshot) -> bool:
    """Tell whether saved segments have to be written anew."""
    saved = [segment for segment in taken.segments if segment.name is not None]
    return any(is_due(taken.view, group) for group in plan(saved))


def is_due(view: TableView, group: Sequence[Segment]) -> bool:
    """Tell whether a group has to be written: it joins several, or much of it was removed."""
    if len(group) > 1:
        return True
    (segment,) = group
    bounds = slice(segment.first_chunk, segment.first_chunk + segment.n_chunks)
    n_removed = int(view.chunks["n_rows"][bounds][~view.is_kept[bounds]].sum())
    return n_removed > MOST_REMOVED * len(segment.vectors)


def rewrite(
    beside: Path,
    fingerprint: Fingerprint,
    taken: Snapshot,
    group: Sequence[Segment],
    dim: int,
) -> Written | None:
    """Write segments as one; `None` where the one of a group stays as it is.

    Raises:
        OSError: The file cannot be written.
    """
    if not is_due(taken.view, group):
        return None
    kept = np.concatenate(
        [
            segment.first_chunk
            + np.flatnonzero(taken.view.is_kept[segment.first_chunk :][: segment.n_chunks])
            for segment in group
        ]
    )
    name = new_name()
    chunks = taken.view.chunks[kept].copy()
    chunks["place"] = np.cumsum(chunks["n_rows"], dtype=np.int64) - chunks["n_rows"]
    if not len(kept):
        return Written(name=name, kept=kept, chunks=chunks, stored=None)
    videos, stored = local_videos(taken.view.videos, chunks)
    path, rows = beside / name, _kept_rows(taken.view, group)
    write_segment(path, fingerprint, videos, stored, rows, dim)
    mapped = read_segment(path, dim, fingerprint, verifies=False)
    if any(segment.overview is not None for segment in group):
        # With the segment: until it is there a question would look at every frame.
        n_rows = chunks["n_rows"].astype(np.int64)
        write_overview(path, make_overview(mapped.vectors, chunks["place"], n_rows))
        mapped = replace(mapped, overview=read_overview(path, len(chunks), dim))
    return Written(name=name, kept=kept, chunks=chunks, stored=mapped)


def publish(folder: Path, beside: Path, compacted: Compacted) -> Published | None:
    """Put what was written in place of what it was written from.

    Args:
        folder: Of the index, which no other process saves now.
        beside: Where the segments were written.
        compacted: What they are.
    Returns:
        `None` where the list of files is of other segments by now.
    Raises:
        OSError: The files cannot be moved.
    """
    manifest, taken = read_manifest(folder), compacted.taken
    is_kept = None if manifest is None else listed_chunks(taken.segments, manifest)
    if manifest is None or is_kept is None:
        return None
    for segment in compacted.segments:
        assert segment.name is not None, "every segment of a saved index has a file"
        for path in (beside / segment.name, *overview_paths(beside / segment.name)):
            if path.exists():
                path.rename(folder / path.name)
    # What was listed as removed meanwhile is in the new files.
    after = replace(taken.view, chunks=compacted.chunks, is_kept=is_kept[compacted.origin])
    later: tuple[SegmentEntry, ...] = manifest.segments[len(taken.segments) :]
    version = secrets.token_hex(8)
    segments = (*entries_of(after, compacted.segments), *later)
    listing = replace(manifest, segments=segments, version=version)
    write_manifest(folder, listing)
    sweep(folder, listing)
    return Published(replaced=manifest.version, version=version)


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
