"""The exact answers from FAISS: inner product over all vectors, saved beside the latents.

FAISS returns the best rows and not the scores of the others, so the statistics of a query take a
product of their own, over a sample of bounded size, under the same lock.
"""

import threading
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from engine.index import _file
from engine.index._rows import Rows
from engine.records import ChunkRef, Fingerprint, Hit, IndexResult, Scope, ScoreStats, VideoId

STATS_ROWS = 65536
"""Most frames from which score statistics are taken, evenly spaced: their standard error is then
below 0.4 % of the deviation, and an archive of any size costs one small matrix product."""


def open_index(dim: int, path: Path, fingerprint: Fingerprint | None = None) -> "FaissFlatIndex":
    """Open the index in a file; an empty one when there is none that can be used."""
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
        within: Scope | None = None,
    ) -> IndexResult:
        """Find the best chunks, and how the query scores against all frames of the scope."""
        vector = query.float().cpu().numpy()
        with self._lock:
            inside = None if within is None else self._rows.matching(within)
            return IndexResult(
                hits=self._hits(vector, top, inside), stats=self._stats(vector, inside)
            )

    def refs(self, within: Scope | None = None) -> tuple[ChunkRef, ...]:
        """Return the chunks that reach into a scope, by video, then in time order."""
        with self._lock:
            return self._rows.refs(within)

    def save(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write beside `path`, then rename over it."""
        with self._lock:
            _file.write(path, fingerprint, self._vectors(), self._rows)

    def _hits(
        self, vector: Float32[np.ndarray, " dim"], top: int, inside: np.ndarray | None
    ) -> tuple[Hit, ...]:
        # No chunk has more frames than this, so these rows hold the best chunks.
        n_rows = min(top * self._most_frames, self.n_vectors)
        if n_rows == 0:
            return ()
        scores, rows = self._faiss.search(
            vector.reshape(1, -1), n_rows, params=None if inside is None else _row_filter(inside)
        )
        # FAISS pads with row -1 where the filter leaves fewer rows than it was asked for.
        is_row = rows[0] >= 0
        return self._rows.hits(rows[0][is_row], scores[0][is_row], top)

    def _stats(
        self, vector: Float32[np.ndarray, " dim"], inside: np.ndarray | None
    ) -> tuple[ScoreStats, ...]:
        rows = np.arange(self.n_vectors) if inside is None else np.flatnonzero(inside)
        rows = rows[:: max(1, -(-len(rows) // STATS_ROWS))]
        return self._rows.score_stats(rows, self._vectors()[rows] @ vector)

    def _vectors(self) -> np.ndarray:
        """Return FAISS' own memory, not a copy: valid until the next change."""
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.n_vectors * self.dim)
        return np.asarray(flat).reshape(self.n_vectors, self.dim)

    def _drop(self, rows: np.ndarray) -> None:
        self._faiss.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(rows)))
        self._rows = self._rows.keep(~rows)
        self._most_frames = self._longest_chunk()

    def _longest_chunk(self) -> int:
        chunks = self._rows.columns.chunk
        return int(np.bincount(chunks).max()) if len(chunks) else 0


def _row_filter(inside: np.ndarray) -> "faiss.SearchParameters":
    bitmap = np.packbits(inside, bitorder="little")
    # The stubs know the C++ constructors only.
    selector = faiss.IDSelectorBitmap(bitmap)  # type: ignore[call-arg,arg-type]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
