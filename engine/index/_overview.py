"""An overview of a segment: two vectors stand for the frames of each chunk.

Codes of a bit for each component say too little of vectors that are no directions, such as
probabilities of classes. Frames of a chunk are seconds of one scene, and resemble each other. For a
query that adds up a few components the largest value of each of them, over the frames of a chunk,
bounds what any frame can have: no frame above the bound is missed. For one that weighs all
components such a bound is loose, and the mean of the frames is an estimate.

An overview proposes chunks; the vectors of their frames decide. It is made from a segment, never
changes like it, and may be lost.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64

from engine.files import atomic_write

_SUFFIXES: Final = (".mean.npy", ".peak.npy")
_FEW: Final = 0.5
"""Share of the components up to which a query is bounded."""
_COMMON: Final = 0.1
"""Share of its largest value that a component has on average where it is nearly everywhere, as the
length of a vector is: its largest value in a chunk then says less than the mean."""
_STEP_ROWS: Final = 1 << 15
_COLUMNS: Final = 8
"""Components of a query up to which the columns of the means are read and not their rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overview:
    """The chunks of a segment, those without frames too."""

    mean: Float32[np.ndarray, "chunk dim"]
    peak: Float16[np.ndarray, "dim chunk"]
    """Largest values, rounded up; by component, because a query reads a few of them."""

    def estimates(
        self, queries: Float32[np.ndarray, "query dim"], chunks: Int64[np.ndarray, " chosen"]
    ) -> Float32[np.ndarray, "query chosen"]:
        """Return what the best frame of some chunks may have: bounds, or estimates where loose.

        Args:
            queries: At least one.
            chunks: Index in the segment, ascending.
        """
        estimates = np.empty((len(queries), len(chunks)), np.float32)
        is_all = len(chunks) == len(self.mean)
        for idx, query in enumerate(queries):
            bound = self._bound(query)
            if bound is None:
                estimates[idx] = self._mean_products(query, chunks)
            else:
                estimates[idx] = bound if is_all else bound[chunks]
        return estimates

    def _mean_products(
        self, query: Float32[np.ndarray, " dim"], chunks: Int64[np.ndarray, " chosen"]
    ) -> Float32[np.ndarray, " chosen"]:
        """Return the inner products of a query with the means of some chunks."""
        components = np.flatnonzero(query)
        if len(components) <= _COLUMNS:
            # A length, mostly: a column of it is a thousandth of the means.
            return np.asarray(self.mean[chunks[:, None], components] @ query[components])
        # A copy of most means would take longer than the products with all of them.
        is_most = 2 * len(chunks) > len(self.mean)
        products = np.asarray((self.mean if is_most else self.mean[chunks]) @ query)
        return products[chunks] if is_most else products

    def _bound(self, query: Float32[np.ndarray, " dim"]) -> Float32[np.ndarray, " chunk"] | None:
        """Return what no frame of each chunk exceeds; `None` where that would be loose."""
        components = np.flatnonzero(query)
        if len(components) > _FEW * len(query) or (query[components] < 0).any():
            return None
        bound = np.zeros(self.peak.shape[1], np.float32)
        for component in components.tolist():
            # Component by component, which stays in the cache, and by torch: NumPy takes twenty
            # times as long to widen half floats.
            peak = torch.from_numpy(np.array(self.peak[component])).float().numpy()
            if len(peak) and peak.mean() > _COMMON * peak.max():
                return None
            bound += query[component] * peak
        return bound


def make_overview(
    vectors: Float32[np.ndarray, "row dim"],
    place: Int64[np.ndarray, " chunk"],
    n_rows: Int64[np.ndarray, " chunk"],
) -> Overview:
    """Return the overview of a segment.

    Args:
        vectors: Of its rows.
        place: Where the rows of each chunk begin, ascending.
        n_rows: Of each chunk; may be 0.
    Cost: one pass over the rows.
    """
    dim = vectors.shape[1]
    mean = np.zeros((len(place), dim), np.float32)
    peak = np.zeros((dim, len(place)), np.float16)
    for chunks in _steps(np.flatnonzero(n_rows), n_rows):
        first = int(place[chunks[0]])
        rows = vectors[first : int(place[chunks[-1]] + n_rows[chunks[-1]])]
        starts = place[chunks] - first
        mean[chunks] = np.add.reduceat(rows, starts, axis=0) / n_rows[chunks, None]
        peak[:, chunks] = _rounded_up(np.maximum.reduceat(rows, starts, axis=0)).T
    return Overview(mean=mean, peak=peak)


def write_overview(segment: Path, overview: Overview) -> None:
    """Write an overview beside the file of its segment.

    Raises:
        OSError: It cannot be written.
    """
    for path, values in zip(overview_paths(segment), (overview.mean, overview.peak), strict=True):
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)


def read_overview(segment: Path, n_chunks: int, dim: int) -> Overview | None:
    """Map what `write_overview` wrote; `None` where there is nothing that can be used."""
    with suppress(OSError, ValueError):
        mean, peak = (np.load(path, mmap_mode="r") for path in overview_paths(segment))
        if (
            mean.shape == peak.T.shape == (n_chunks, dim)
            and (mean.dtype, peak.dtype) == (np.float32, np.float16)
        ):  # fmt: skip
            return Overview(mean=mean, peak=peak)
    return None


def overview_paths(segment: Path) -> tuple[Path, ...]:
    """Return the files of the overview of a segment."""
    return tuple(segment.with_suffix(suffix) for suffix in _SUFFIXES)


def _steps(
    chunks: Int64[np.ndarray, " held"], n_rows: Int64[np.ndarray, " chunk"]
) -> Iterator[Int64[np.ndarray, " _"]]:
    """Yield stretches of chunks with so many rows as memory is given for."""
    behind = np.cumsum(n_rows[chunks])
    bounds = np.searchsorted(behind, np.arange(0, behind[-1] if len(behind) else 0, _STEP_ROWS))
    parts: Sequence[np.ndarray] = np.split(chunks, np.unique(bounds[1:]))
    yield from (part for part in parts if len(part))


def _rounded_up(values: Float32[np.ndarray, "chunk dim"]) -> Float16[np.ndarray, "chunk dim"]:
    # A value that half precision cannot hold becomes infinite: still a bound.
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    is_less = rounded < values
    rounded[is_less] = np.nextafter(rounded[is_less], np.float16(np.inf))
    return rounded
