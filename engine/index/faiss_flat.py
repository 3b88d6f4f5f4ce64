"""The exact answers from FAISS: inner product over all vectors, saved beside the latents."""

import threading
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from engine.index import _file
from engine.index._rows import Rows
from engine.records import ChunkRef, Fingerprint, Hit, ScoreStats, TimeSpan, VideoId

SPREAD_ROWS = 65536
"""Most frames that a spread looks at, evenly taken: its standard error is then below 0.4 %
of the deviation, and an archive of any size costs one small matrix product."""


def open_index(dim: int, path: Path, fingerprint: Fingerprint | None = None) -> "FaissFlatIndex":
    """The index in a file; an empty one when there is none that can be used."""
    return FaissFlatIndex(dim, _file.read(path, dim, fingerprint))


class FaissFlatIndex:
    """A FAISS flat index and the rows behind it."""

    def __init__(self, dim: int, stored: "_file.StoredIndex | None" = None) -> None:
        self.dim = dim
        self._rows = stored.rows if stored else Rows()
        self._faiss = faiss.IndexFlatIP(dim)
        if stored:
            self._faiss.add(stored.vectors)
        self._most_frames = self._longest_chunk()
        self._lock = threading.RLock()

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        return int(self._faiss.ntotal)

    def add(
        self,
        chunk: ChunkRef,
        vectors: Float[Tensor, "frame dim"],
        pts_s: Float64[Tensor, " frame"],
    ) -> None:
        """Add the frames of a chunk; a chunk that is already there is replaced."""
        with self._lock:
            if chunk in self._rows:
                self._drop(self._rows.rows_of(chunk.video, chunk.ordinal))
            self._rows.add(chunk, pts_s.numpy())
            self._faiss.add(np.ascontiguousarray(vectors.float().cpu().numpy()))
            self._most_frames = max(self._most_frames, len(pts_s))

    def remove(self, video: VideoId) -> None:
        """Forget a video."""
        with self._lock:
            if video in self._rows.videos:
                self._drop(self._rows.rows_of(video))

    def search(
        self,
        query: Float[Tensor, " dim"],
        top: int,
        *,
        within: Sequence[tuple[VideoId, TimeSpan]] | None = None,
    ) -> tuple[Hit, ...]:
        """The best chunks, best first, each once, at its best frame."""
        with self._lock:
            # No chunk has more frames than this, so these rows hold the best chunks.
            n_rows = min(top * self._most_frames, self.n_vectors)
            if n_rows == 0:
                return ()
            wanted = query.float().cpu().numpy().reshape(1, -1)
            scores, rows = self._faiss.search(wanted, n_rows, params=self._filter(within))
            found = rows[0] >= 0
            return self._rows.hits(rows[0][found], scores[0][found], top)

    def refs(
        self, within: Sequence[tuple[VideoId, TimeSpan]] | None = None
    ) -> tuple[ChunkRef, ...]:
        """The chunks that reach into a scope, by video, then in time order."""
        with self._lock:
            return self._rows.refs(within)

    def spread(
        self,
        query: Float[Tensor, " dim"],
        *,
        within: Sequence[tuple[VideoId, TimeSpan]] | None = None,
    ) -> tuple[ScoreStats, ...]:
        """Per video of a scope, the mean and deviation of the query's scores over its frames."""
        with self._lock:
            rows = np.arange(self.n_vectors)
            if within is not None:
                rows = np.flatnonzero(self._rows.matching(within))
            rows = rows[:: max(1, -(-len(rows) // SPREAD_ROWS))]
            scores = self._vectors()[rows] @ query.float().cpu().numpy()
            return self._rows.spread(rows, scores)

    def save(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write beside `path`, then rename over it."""
        with self._lock:
            _file.write(path, fingerprint, self._vectors(), self._rows)

    def _vectors(self) -> np.ndarray:
        """FAISS' own memory, not a copy: valid until the next change."""
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.n_vectors * self.dim)
        return np.asarray(flat).reshape(self.n_vectors, self.dim)

    def _filter(
        self, within: Sequence[tuple[VideoId, TimeSpan]] | None
    ) -> "faiss.SearchParameters | None":
        if within is None:
            return None
        inside = np.packbits(self._rows.matching(within), bitorder="little")
        # The stubs know the C++ constructors only.
        selector = faiss.IDSelectorBitmap(inside)  # type: ignore[call-arg,arg-type]
        return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]

    def _drop(self, rows: np.ndarray) -> None:
        self._faiss.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(rows)))
        self._rows = self._rows.keep(~rows)
        self._most_frames = self._longest_chunk()

    def _longest_chunk(self) -> int:
        chunks = self._rows.columns.chunk
        return int(np.bincount(chunks).max()) if len(chunks) else 0
