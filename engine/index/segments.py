"""An index for archives: segments in files that are mapped, saved in proportion to what is new.

Additions gather in memory and become a segment when the index is saved; behind a save small
neighbours are merged, each into one about twice as large, so that a vector is copied a few times in
its life. What is removed is crossed out at once and leaves its file when a quarter of that is gone.
Questions look at a view that was taken in an instant: no change, save or merge makes them wait, and
no save waits for a merge.

Several processes may save one index. One at a time does; who finds that another has saved since
takes that index, and makes its own changes to it again.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.errors import DiskFullError, UnreachableError
from engine.files import is_out_of_space, make_folder
from engine.index import _coding, _file
from engine.index._codes import Codes
from engine.index._compaction import compact, is_any_due, only_compaction, publish
from engine.index._manifest import (
    Manifest,
    SegmentEntry,
    folder_of,
    only_writer,
    read_manifest,
    sweep,
    write_manifest,
)
from engine.index._overview import write_overview
from engine.index._saving import (
    MOST_ROWS,
    Snapshot,
    Tail,
    entries_of,
    opened,
    read_all,
    save_segments,
)
from engine.index._search import frame_scores, frames_of, search
from engine.index._segment import Segment, StoredSegment
from engine.index._table import ChunkColumns
from engine.records import ChunkRef, Fingerprint, IndexResult, Scope, VideoId
from engine.tensors import ChunkVectors, FrameScores, Rank

_log = logging.getLogger(__name__)


def open_index(dim: int, path: Path, fingerprint: Fingerprint | None = None) -> "SegmentedIndex":
    """Open the index in a folder beside `path`; an empty one when there is none that can be used.

    A file at `path` is an index of an earlier version: it is taken over, and replaced when the
    index is saved.
    """
    index = SegmentedIndex(dim)
    index.load(path, fingerprint)
    return index


class SegmentedIndex:
    """Vectors in segments and the chunks behind them. Safe for several threads and processes."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        # Held for moments: to take a view, to append, to put a saved segment in place.
        self._lock = threading.RLock()
        # Held while a save writes.
        self._saving = threading.Lock()
        self._table = ChunkColumns()
        self._segments: list[Segment] = []
        self._tail = Tail(dim, first_chunk=0)
        self._next_row = 0
        self._version: str | None = None
        self._marks: Mapping[VideoId, int] = {}
        self._codes: Codes | None = None
        self._tidying: threading.Thread | None = None
        self._generation = 0
        """How often chunks got other places."""
        self._removed: set[tuple[VideoId, int]] = set()
        """Chunks of saved segments that were removed since the last save."""

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        with self._lock:
            return self._table.n_rows

    def add(self, chunks: Iterable[ChunkVectors]) -> None:
        """Add the frames of chunks; one that is already there is replaced."""
        for chunk, vectors, pts_s in chunks:
            added = vectors.float().cpu().numpy()
            with self._lock:
                self._remove(self._table.find(chunk.video, chunk.ordinal))
                self._append(chunk, added, pts_s.numpy())

    def remove(self, video: VideoId, ordinal: int | None = None) -> None:
        """Forget a video, or one of its chunks."""
        with self._lock:
            self._remove(self._table.find(video, ordinal))

    def search(
        self,
        query: Float[Tensor, " dim"],
        top: int,
        *,
        within: Scope | None = None,
    ) -> IndexResult:
        """Find the best chunks, and how the query scores against all frames of the scope."""
        return search(self._snapshot(), query.float().cpu().numpy(), top, within)

    def scores(
        self,
        queries: Float[Tensor, "query dim"],
        *,
        within: Scope | None = None,
        most: int | None = None,
        rank: Rank | None = None,
    ) -> FrameScores:
        """Return the inner products of several vectors with the frames of a scope."""
        return frame_scores(self._snapshot(), queries.float().cpu().numpy(), within, most, rank)

    def frames(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]] | None:
        """Return the vectors of a chunk's frames and their times; `None` where it is not held."""
        with self._lock:
            chunks = self._table.find(video, ordinal)
            taken = self._snapshot()
        return frames_of(taken, int(chunks[0])) if len(chunks) else None

    def refs(self, within: Scope | None = None) -> ChunkRefs:
        """Return the chunks that reach into a scope, by video, then in time order."""
        refs = self._snapshot().view.refs
        return refs if within is None else refs.reaching_into(within)

    def load(self, path: Path, fingerprint: Fingerprint | None) -> None:
        """Take over what is saved under `path`; what cannot be used is left out, with a warning."""
        try:
            manifest = read_manifest(folder_of(path))
            if manifest is not None:
                self._put(read_all(folder_of(path), manifest, fingerprint, self.dim), manifest)
                self._marks = manifest.marks
                self._codes = _coding.read_codes(folder_of(path), manifest.codes, self.dim)
                return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is built again: %s", folder_of(path), error)
            return
        earlier = _file.read(path, self.dim, fingerprint)
        if earlier is not None:
            _log.info("%s is taken over into %s", path, folder_of(path))
            self._take_over(earlier)

    @property
    def marks(self) -> Mapping[VideoId, int]:
        """Numbers that were noted of videos when the index that was opened was saved."""
        return self._marks

    def save(
        self, path: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int] | None = None
    ) -> None:
        """Write what is new, and replace the list of files.

        Raises:
            DiskFullError: No space; the index that was saved before, if any, is untouched.
            UnreachableError: The folder cannot be written to.
        """
        folder = folder_of(path)
        try:
            with self._saving:
                make_folder(folder)
                with only_writer(folder):
                    self._save(folder, fingerprint, marks or {})
                path.unlink(missing_ok=True)
            self._tidy(folder, fingerprint)
        except OSError as error:
            if is_out_of_space(error):
                raise DiskFullError(
                    f"{folder}: no space left for the index; the latents it is built from are kept"
                ) from error
            raise UnreachableError(f"{folder}: cannot be written ({error.strerror})") from error

    def without_codes(self) -> "SegmentedIndex":
        """Return an index over the same vectors that looks at all of them; nobody saves it."""
        exact = copy(self)
        exact._codes = None
        exact._segments = [replace(segment, overview=None) for segment in self._segments]
        return exact

    @property
    def codes(self) -> Codes | None:
        """Codes of an archive's vectors; `None` where a pass over all rows does as well."""
        return self._codes

    def settle(self) -> None:
        """Wait until what is written anew and codes that are being made are in use."""
        tidying = self._tidying
        if tidying is not None:
            tidying.join()

    def _tidy(self, folder: Path, fingerprint: Fingerprint) -> None:
        """Compact segments and make codes of what has none, beside everything else."""
        with self._lock:
            taken = self._snapshot()
            is_busy = self._tidying is not None and self._tidying.is_alive()
            if is_busy or not (
                is_any_due(taken)
                or _coding.is_due(taken, self.dim)
                or _coding.without_overview(taken, self.dim)
            ):
                return
            self._tidying = threading.Thread(
                target=self._renew, args=(folder, fingerprint), name="index-tidying"
            )
            self._tidying.start()

    def _renew(self, folder: Path, fingerprint: Fingerprint) -> None:
        try:
            self._compact(folder, fingerprint)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s stays as it is: %s", folder, error)
        try:
            taken = self._snapshot()
            if _coding.is_due(taken, self.dim):
                codes = _coding.renewed(taken, self.dim)
                with self._saving, only_writer(folder):
                    published = _coding.publish(folder, codes, self._version)
                    if published is not None:
                        with self._lock:
                            self._codes, self._version = published
            taken = self._snapshot()
            for segment in _coding.without_overview(taken, self.dim):
                overview = _coding.overview_of(taken, segment)
                # Not while another save sweeps the folder.
                with self._saving, only_writer(folder):
                    write_overview(folder / str(segment.name), overview)
                with self._lock:
                    self._segments = _coding.with_overview(self._segments, segment, overview)
        except (OSError, RuntimeError) as error:
            _log.warning("%s stays without codes: %s", folder, error)

    def _snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                view=self._table.view(),
                segments=(*self._segments, self._tail.segment()),
                codes=self._codes,
            )

    def _append(
        self,
        chunk: ChunkRef,
        vectors: Float32[np.ndarray, "frame dim"],
        pts_s: Float64[np.ndarray, " frame"],
    ) -> None:
        self._table.add(chunk, len(pts_s), self._next_row, self._tail.n_rows)
        self._tail.append(vectors, pts_s)
        self._next_row += len(pts_s)
        if self._tail.n_rows >= MOST_ROWS:
            self._seal()

    def _seal(self) -> None:
        """Close the tail: it takes nothing more, and a new one begins."""
        if self._tail.n_chunks:
            self._segments.append(self._tail.segment())
            self._tail = Tail(self.dim, first_chunk=self._tail.first_chunk + self._tail.n_chunks)

    def _remove(self, chunks: Int64[np.ndarray, " removed"]) -> None:
        if not len(chunks):
            return
        saved = [segment for segment in self._segments if segment.name is not None]
        n_saved = sum(segment.n_chunks for segment in saved)
        self._note_removed(chunks[chunks < n_saved])
        self._table.remove(chunks)

    def _note_removed(self, chunks: Int64[np.ndarray, " removed"]) -> None:
        """Keep in mind which chunks of saved segments no save has listed as removed yet."""
        view = self._table.view()
        for idx in chunks.tolist():
            chunk = view.chunks[idx]
            self._removed.add((view.videos[int(chunk["video"])], int(chunk["ordinal"])))

    def _save(self, folder: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int]) -> None:
        on_disk = self._join_others(folder, fingerprint)
        with self._lock:
            self._seal()
            view, segments = self._table.view(), tuple(self._segments)
            next_row, codes = self._next_row, self._codes
            removed = frozenset(self._removed)
        files = frozenset[str]() if on_disk is None else on_disk.files
        new = [segment for segment in segments if segment.name not in files]
        written = save_segments(folder, fingerprint, view, new, self.dim)
        saved = [written.get(segment.first_chunk, segment) for segment in segments]
        entries = entries_of(view, saved)
        if on_disk is not None and (entries, marks) == (on_disk.segments, on_disk.marks):
            return
        manifest = Manifest(
            fingerprint=fingerprint,
            next_row=next_row,
            segments=entries,
            marks=marks,
            codes=_coding.entry_of(codes),
        )
        write_manifest(folder, manifest)
        with self._lock:
            self._segments = [
                written.get(segment.first_chunk, segment) for segment in self._segments
            ]
            self._version = manifest.version
            self._removed -= removed
            # What was removed while it was written is listed by the next save.
            since = view.is_kept & ~self._table.view().is_kept[: len(view.chunks)]
            self._note_removed(np.flatnonzero(since))
        sweep(folder, manifest)

    def _join_others(self, folder: Path, fingerprint: Fingerprint) -> Manifest | None:
        """Take what other processes have saved; `None` where nothing that is there can be used."""
        try:
            manifest = read_manifest(folder)
            if manifest is not None and manifest.version != self._version:
                self._adopt(read_all(folder, manifest, fingerprint, self.dim), manifest)
                self._codes = _coding.read_codes(folder, manifest.codes, self.dim)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is replaced: %s", folder, error)
            return None
        return manifest

    def _compact(self, folder: Path, fingerprint: Fingerprint) -> None:
        """Write small segments as one, and those of which much was removed without it.

        Raises:
            OSError: They cannot be written; the index stays as it is.
        """
        with only_compaction(folder) as beside:
            with self._lock:
                taken, generation = self._snapshot(), self._generation
            if beside is None:
                return
            compacted = compact(folder, beside, fingerprint, taken, self.dim)
            if compacted is None:
                return
            with self._saving, only_writer(folder):
                published = publish(folder, beside, compacted)
                with self._lock:
                    # Else the next save takes over what is on the disk.
                    if published is not None and (generation, published.replaced) == (
                        self._generation,
                        self._version,
                    ):
                        table, shift = compacted.put_into(self._table.view())
                        self._table, self._version = table, published.version
                        self._segments = compacted.with_later(self._segments, shift)
                        self._tail.first_chunk += shift
                        self._generation += 1

    def _put(
        self, stored: Iterable[tuple[SegmentEntry, StoredSegment]], manifest: Manifest
    ) -> None:
        """Hold saved segments and nothing else."""
        table, segments = opened(stored)
        with self._lock:
            self._table, self._segments = table, segments
            self._tail = Tail(self.dim, first_chunk=len(table.view().chunks))
            self._next_row = max(manifest.next_row, table.next_row)
            self._version = manifest.version
            self._generation += 1

    def _adopt(
        self, stored: Sequence[tuple[SegmentEntry, StoredSegment]], manifest: Manifest
    ) -> None:
        """Hold what another process has saved, with what was changed here since the last save."""
        with self._lock:
            own, removed = self._snapshot(), self._removed
            self._put(stored, manifest)
            for video, ordinal in removed:
                self._table.remove(self._table.find(video, ordinal))
            for ref, vectors, pts_s in own.unsaved():
                chunks = self._table.find(ref.video, ref.ordinal)
                if not len(chunks) or self._table.view().ref(int(chunks[0])) != ref:
                    self._remove(chunks)
                    self._append(ref, vectors, pts_s)

    def _take_over(self, earlier: "_file.StoredIndex") -> None:
        """Hold the contents of a file of an earlier version."""
        with self._lock:
            for chunk, vectors, pts_s in earlier.chunks():
                self._append(chunk, vectors, pts_s)
