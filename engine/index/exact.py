"""Exhaustive inner product: small, slow, right; the oracle of the other backends."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.index import _file
from engine.index._rows import Rows
from engine.records import Fingerprint, IndexResult, Scope, VideoId
from engine.tensors import ChunkVectors, FrameScores, Rank


def open_index(dim: int, path: Path, fingerprint: Fingerprint | None = None) -> "ExactIndex":
    """Open the index in a file; an empty one when there is none that can be used."""
    return ExactIndex(dim, _file.read(path, dim, fingerprint))


class ExactIndex:
    """A matrix of vectors and the rows behind it."""

    def __init__(self, dim: int, stored: "_file.StoredIndex | None" = None) -> None:
        self.dim = dim
        self._rows = stored.rows if stored else Rows()
        self._vectors = stored.vectors if stored else np.empty((0, dim), np.float32)
        self._marks = stored.marks if stored else {}
        self._lock = threading.RLock()

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        return len(self._vectors)

    def add(self, chunks: Iterable[ChunkVectors]) -> None:
        """Add the frames of chunks; one that is already there is replaced."""
        for chunk, vectors, pts_s in chunks:
            added = vectors.float().cpu().numpy()
            with self._lock:
                if chunk in self._rows:
                    self._keep(~self._rows.rows_of(chunk.video, chunk.ordinal))
                self._rows.add(chunk, pts_s.numpy())
                self._vectors = np.concatenate([self._vectors, added])

    def remove(self, video: VideoId, ordinal: int | None = None) -> None:
        """Forget a video, or one of its chunks."""
        with self._lock:
            if video in self._rows.videos:
                self._keep(~self._rows.rows_of(video, ordinal))

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

    def scores(
        self,
        queries: Float[Tensor, "query dim"],
        *,
        within: Scope | None = None,
        most: int | None = None,
        rank: Rank | None = None,
    ) -> FrameScores:
        """Return the inner products of several vectors with every frame of a scope."""
        with self._lock:
            rows = np.arange(self.n_vectors)
            if within is not None:
                rows = np.flatnonzero(self._rows.matching(within))
            scores = queries.float().cpu().numpy() @ self._vectors[rows].T
            return self._rows.frame_scores(rows, scores)

    def frames(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]] | None:
        """Return the vectors of a chunk's frames and their times; `None` where it is not held."""
        with self._lock:
            rows = self._rows.rows_of(video, ordinal)
            if not rows.any():
                return None
            pts_s = self._rows.columns.pts_s[rows]
            return torch.from_numpy(self._vectors[rows]), torch.from_numpy(pts_s)

    def refs(self, within: Scope | None = None) -> ChunkRefs:
        """Return the chunks that reach into a scope, by video, then in time order."""
        with self._lock:
            return ChunkRefs.of(self._rows.refs(within))

    @property
    def marks(self) -> Mapping[VideoId, int]:
        """Numbers that were noted of videos when the index that was opened was saved."""
        return self._marks

    def save(
        self, path: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int] | None = None
    ) -> None:
        """Write beside `path`, then rename over it."""
        with self._lock:
            _file.write(path, fingerprint, self._vectors, self._rows, marks or {})

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
