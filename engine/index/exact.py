"""Exhaustive inner product: small, slow, right; the oracle of the other backends."""

import threading
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from engine.index import _file
from engine.index._rows import Rows
from engine.records import ChunkRef, Fingerprint, IndexResult, Scope, VideoId


def open_index(dim: int, path: Path, fingerprint: Fingerprint | None = None) -> "ExactIndex":
    """Open the index in a file; an empty one when there is none that can be used."""
    return ExactIndex(dim, _file.read(path, dim, fingerprint))


class ExactIndex:
    """A matrix of vectors and the rows behind it."""

    def __init__(self, dim: int, stored: "_file.StoredIndex | None" = None) -> None:
        self.dim = dim
        self._rows = stored.rows if stored else Rows()
        self._vectors = stored.vectors if stored else np.empty((0, dim), np.float32)
        self._lock = threading.RLock()

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        return len(self._vectors)

    def add(
        self,
        chunk: ChunkRef,
        vectors: Float[Tensor, "frame dim"],
        pts_s: Float64[Tensor, " frame"],
    ) -> None:
        """Add the frames of a chunk; a chunk that is already there is replaced."""
        with self._lock:
            if chunk in self._rows:
                self._keep(~self._rows.rows_of(chunk.video, chunk.ordinal))
            self._rows.add(chunk, pts_s.numpy())
            added = vectors.float().cpu().numpy()
            self._vectors = np.concatenate([self._vectors, added])

    def remove(self, video: VideoId) -> None:
        """Forget a video."""
        with self._lock:
            if video in self._rows.videos:
                self._keep(~self._rows.rows_of(video))

    def search(
        self,
        query: Float[Tensor, " dim"],
        top: int,
        *,
        within: Scope | None = None,
    ) -> IndexResult:
        """Find the best chunks, and how the query scores against all frames of the scope."""
        with self._lock:
            rows, scores = self._scores(query, within)
            return IndexResult(
                hits=self._rows.hits(rows, scores, top),
                stats=self._rows.score_stats(rows, scores),
            )

    def refs(self, within: Scope | None = None) -> tuple[ChunkRef, ...]:
        """Return the chunks that reach into a scope, by video, then in time order."""
        with self._lock:
            return self._rows.refs(within)

    def save(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write beside `path`, then rename over it."""
        with self._lock:
            _file.write(path, fingerprint, self._vectors, self._rows)

    def _scores(
        self, query: Float[Tensor, " dim"], within: Scope | None
    ) -> tuple[np.ndarray, Float32[np.ndarray, " hit"]]:
        rows = np.arange(self.n_vectors)
        if within is not None:
            rows = np.flatnonzero(self._rows.matching(within))
        return rows, self._vectors[rows] @ query.float().cpu().numpy()

    def _keep(self, kept: np.ndarray) -> None:
        self._vectors = self._vectors[kept]
        self._rows = self._rows.keep(kept)
