"""Short codes of an archive's vectors: lists by nearest centre, a bit for each component.

Codes propose rows, and the rows' own vectors decide: what is returned are exact inner products.
How many lists have to be looked into is measured on vectors of the index itself, against the exact
answer, and written down beside the codes.

Source: RaBitQ (arXiv:2405.12497) in FAISS' fast-scan form, `IndexIVFRaBitQFastScan`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from jaxtyping import Float32, Float64, Int64
from safetensors import safe_open
from safetensors.numpy import save_file

from engine.files import atomic_write
from engine.records import VideoId

WORTH_BYTES: Final = 128 << 20
"""Bytes of vectors from which codes are made: below, a pass over all of them takes some 10 ms, and
is exact. `longwatch bench index` shows where the ways meet."""
BLOCK_ROWS: Final = 1 << 14
"""Rows that wait for their codes, at most: they are looked through one by one."""
RETRAIN_FACTOR: Final = 4
"""Growth after which the centres are sought anew."""
GOAL: Final = 0.98
"""Share of the ten nearest vectors that a search has to find."""
LEAST_RECALL: Final = 0.9
"""Share that codes have to find to be asked at all: of vectors that are no directions, such as
probabilities of classes, a bit for each component says too little (0.14 on drawn ones)."""
_PROBES: Final = (8, 16, 32, 64, 128)
_TRAINING_ROWS: Final = 64
"""Rows for each centre in training."""
_ROUNDS: Final = 8
_QUERIES: Final = 64
_NEAREST: Final = 10
_CANDIDATES: Final = 20
"""Rows that codes propose for each that is wanted."""
_STEP_ROWS: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over coded vectors, by which a query's scores are known without a look at them."""

    videos: tuple[VideoId, ...]
    counts: Int64[np.ndarray, " video"]
    sums: Float32[np.ndarray, "video dim"]
    gram: Float64[np.ndarray, "dim dim"]
    """Sum of the outer products of all vectors with themselves."""

    def of_query(
        self, query: Float32[np.ndarray, " dim"]
    ) -> tuple[Float64[np.ndarray, " video"], float]:
        """Return the sum of the scores of each video, and that of their squares around its mean."""
        sums = (self.sums @ query).astype(np.float64)
        wide = query.astype(np.float64)
        squares = float(wide @ self.gram @ wide) - float((sums**2 / self.counts).sum())
        return sums, max(0.0, squares)


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """Codes of the rows below `next_row`; it never changes, additions make another."""

    parts: tuple[Any, ...]
    """Indexes of FAISS with the same centres, of rows that follow each other."""
    names: tuple[str | None, ...]
    """Of the files of the parts; `None` for one that has none yet."""
    moments: tuple[Moments, ...]
    n_probe: int
    recall: float
    """Share of the ten nearest of all rows that they find, for what resembles a row."""
    scattered_recall: float
    """The same of ten among rows too far apart to be pictures of one scene."""
    trained_rows: int
    """Rows of the index when its centres were sought."""
    next_row: int

    @property
    def is_useful(self) -> bool:
        """Whether they find enough to be asked."""
        return self.recall >= LEAST_RECALL

    @property
    def finds_scattered(self) -> bool:
        """Whether they also find what is alike only by what it shows, as a phrase wants it."""
        return self.is_useful and self.scattered_recall >= LEAST_RECALL

    @property
    def n_rows(self) -> int:
        """Rows with codes, removed ones too."""
        return sum(int(part.ntotal) for part in self.parts)

    def candidates(
        self, query: Float32[np.ndarray, " dim"], count: int, kept: "faiss.IDSelector | None"
    ) -> Int64[np.ndarray, " row"]:
        """Return the numbers of the rows that are likely nearest, in no order."""
        wanted = max(_CANDIDATES * count, 10 * _NEAREST)
        scores, rows = [], []
        for part in self.parts:
            matches = part.search(
                query[None], min(wanted, int(part.ntotal)), params=_probing(self.n_probe, kept)
            )
            scores.append(matches[0][0])
            rows.append(matches[1][0])
        joined = np.concatenate(rows)
        best = np.argsort(-np.concatenate(scores), kind="stable")[:wanted]
        return joined[best][joined[best] >= 0]

    @cached_property
    def videos(self) -> Mapping[VideoId, int]:
        """The videos of coded rows, each with its place in what `stats` returns."""
        return {
            video: idx
            for idx, video in enumerate(
                dict.fromkeys(video for moments in self.moments for video in moments.videos)
            )
        }

    @cached_property
    def counts(self) -> Int64[np.ndarray, " video"]:
        """Coded rows of each video, removed ones too."""
        counts = np.zeros(len(self.videos), np.int64)
        for moments, places in zip(self.moments, self._places, strict=True):
            counts[places] += moments.counts
        return counts

    @cached_property
    def _places(self) -> tuple[Int64[np.ndarray, " video"], ...]:
        return tuple(
            np.array([self.videos[video] for video in moments.videos], dtype=np.int64)
            for moments in self.moments
        )

    def stats(
        self, query: Float32[np.ndarray, " dim"]
    ) -> tuple[Float64[np.ndarray, " video"], float]:
        """Return the mean score of each video's coded rows, and the deviation that they share."""
        totals, squares = np.zeros(len(self.videos)), 0.0
        for moments, places in zip(self.moments, self._places, strict=True):
            sums, of_part = moments.of_query(query)
            totals[places] += sums
            squares += of_part
        return totals / self.counts, math.sqrt(squares / max(1, int(self.counts.sum())))


Blocks = Iterator[tuple[VideoId, Int64[np.ndarray, " row"], Float32[np.ndarray, "row dim"]]]
"""Stretches of one video's rows: numbers and vectors."""


def train(
    sample: Float32[np.ndarray, "row dim"], n_rows: int, n_lists: int | None = None
) -> "faiss.IndexIVFRaBitQFastScan":
    """Return an index without rows, its centres sought among a sample.

    Args:
        sample: Vectors, evenly from all of the index.
        n_rows: That the index has.
        n_lists: Centres; as many as fit the rows when `None`.
    Cost: on a GPU where FAISS has one, else seconds of processor for a million rows.
    """
    n_lists = n_lists or lists_for(n_rows)
    dim = sample.shape[1]
    index = faiss.IndexIVFRaBitQFastScan(
        faiss.IndexFlatIP(dim), dim, n_lists, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.max_points_per_centroid = _TRAINING_ROWS
    index.cp.niter = _ROUNDS
    if n_gpus():
        index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
    index.train(np.ascontiguousarray(sample))
    # It is needed once, and what is saved names none.
    index.clustering_index = None  # type: ignore[assignment]
    return index


def lists_for(n_rows: int) -> int:
    """Return how many centres fit so many rows: a power of two near twice their root."""
    return int(2 ** max(4, round(math.log2(2 * math.sqrt(max(1, n_rows))))))


def n_gpus() -> int:
    """Return how many GPUs FAISS can use; none with faiss-cpu."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def fill(empty: "faiss.IndexIVFRaBitQFastScan", blocks: Blocks) -> tuple[Any, Moments]:
    """Return a copy of a trained index with rows in it, and their moments."""
    index = faiss.clone_index(empty)
    dim = int(index.d)
    counts: dict[VideoId, int] = {}
    sums: dict[VideoId, np.ndarray] = {}
    gram = np.zeros((dim, dim))
    for video, rows, vectors in blocks:
        for start in range(0, len(rows), _STEP_ROWS):
            step = np.ascontiguousarray(vectors[start : start + _STEP_ROWS])
            index.add_with_ids(step, rows[start : start + _STEP_ROWS])
            gram += step.T @ step
        counts[video] = counts.get(video, 0) + len(rows)
        total = vectors.sum(axis=0, dtype=np.float64)
        sums[video] = (sums.get(video, 0.0) + total).astype(np.float32)
    moments = Moments(
        videos=tuple(counts),
        counts=np.array([*counts.values()], dtype=np.int64),
        sums=np.stack([*sums.values()]),
        gram=gram,
    )
    return index, moments


def disturbed(sample: Float32[np.ndarray, "row dim"]) -> Float32[np.ndarray, "query dim"]:
    """Return a few vectors of a sample with noise: queries whose nearest rows can be known."""
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(sample), min(_QUERIES, len(sample)), replace=False)
    lengths = np.linalg.norm(sample[chosen], axis=1, keepdims=True) / math.sqrt(sample.shape[1])
    noise = generator.standard_normal((len(chosen), sample.shape[1])).astype(np.float32)
    return np.ascontiguousarray(sample[chosen] + 0.3 * lengths * noise)


def nearest(
    queries: Float32[np.ndarray, "query dim"], blocks: Blocks
) -> Int64[np.ndarray, "query nearest"]:
    """Return the numbers of the rows that are nearest to each query, by a pass over all."""
    scores = np.full((len(queries), _NEAREST), -np.inf, np.float32)
    rows = np.full((len(queries), _NEAREST), -1, np.int64)
    for _, numbers, vectors in blocks:
        products = queries @ vectors.T
        count = min(_NEAREST, len(numbers))
        best = np.argpartition(-products, count - 1, axis=1)[:, :count]
        scores = np.concatenate([scores, np.take_along_axis(products, best, axis=1)], axis=1)
        rows = np.concatenate([rows, numbers[best]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :_NEAREST]
        scores = np.take_along_axis(scores, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return rows


def tune(
    index: Any,
    queries: Float32[np.ndarray, "query dim"],
    exact: Int64[np.ndarray, "query nearest"],
    among: Int64[np.ndarray, " row"] | None = None,
) -> tuple[int, float]:
    """Return the fewest lists that find enough of the nearest rows, and the share they find.

    Args:
        index: With rows in it.
        queries: That ask.
        exact: Numbers of the rows that are nearest to each, fewer than ten where it says -1.
        among: Numbers of the rows among which these were sought; all when `None`.
    """
    kept = None if among is None else _selector(among)
    n_probe, recall = _PROBES[-1], 0.0
    for n_probe in _PROBES:
        _, matches = index.search(
            queries, min(int(index.ntotal), _CANDIDATES * _NEAREST), params=_probing(n_probe, kept)
        )
        shares = [
            float(np.isin(best[best >= 0], listed).mean())
            for best, listed in zip(exact, matches, strict=True)
        ]
        recall = float(np.mean(shares))
        if recall >= GOAL or n_probe >= index.nlist:
            break
    return n_probe, recall


def write_part(path: Path, part: Any, moments: Moments) -> None:
    """Write codes and moments beside their name, then rename them.

    Raises:
        OSError: They cannot be written.
    """
    tensors = {
        "codes": faiss.serialize_index(part),
        "counts": moments.counts,
        "sums": moments.sums,
        "gram": moments.gram,
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"videos": json.dumps(moments.videos)})


def read_part(path: Path) -> tuple[Any, Moments]:
    """Read what `write_part` wrote.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not what it should be; so are `KeyError`, `RuntimeError` of FAISS and
            `SafetensorError`.
    """
    with safe_open(path, framework="numpy") as file:
        videos = tuple(map(VideoId, json.loads((file.metadata() or {})["videos"])))
        counts, sums = file.get_tensor("counts"), file.get_tensor("sums")
        part = faiss.deserialize_index(file.get_tensor("codes"))
        gram = file.get_tensor("gram")
    if not len(videos) == len(counts) == len(sums):
        raise ValueError("its sums are of other videos")
    return part, Moments(videos=videos, counts=counts, sums=sums, gram=gram)


def merged(codes: Sequence[tuple[Any, Moments]]) -> tuple[Any, Moments]:
    """Return several parts with the same centres as one."""
    first, *others = codes
    part = faiss.clone_index(first[0])
    for index, _ in others:
        part.merge_from(faiss.clone_index(index), 0)
    of_parts = [moments for _, moments in codes]
    videos = dict.fromkeys(video for moments in of_parts for video in moments.videos)
    place = {video: idx for idx, video in enumerate(videos)}
    counts = np.zeros(len(place), np.int64)
    sums = np.zeros((len(place), first[1].sums.shape[1]), np.float32)
    for moments in of_parts:
        places = [place[video] for video in moments.videos]
        counts[places] += moments.counts
        sums[places] += moments.sums
    gram = np.sum([moments.gram for moments in of_parts], axis=0)
    return part, Moments(videos=tuple(videos), counts=counts, sums=sums, gram=gram)


def selector(is_kept: np.ndarray) -> "faiss.IDSelector":
    """Return a filter that lets rows pass by a mask over their numbers."""
    bitmap = np.packbits(is_kept, bitorder="little")
    # The stubs know the C++ constructors only.
    return faiss.IDSelectorBitmap(bitmap)  # type: ignore[call-arg,arg-type]


def _selector(rows: Int64[np.ndarray, " row"]) -> "faiss.IDSelector":
    is_kept = np.zeros(int(rows.max()) + 1, dtype=bool)
    is_kept[rows] = True
    return selector(is_kept)


def _probing(n_probe: int, kept: "faiss.IDSelector | None") -> "faiss.SearchParameters":
    if kept is None:
        return faiss.IVFSearchParameters(nprobe=n_probe)  # type: ignore[call-arg]
    return faiss.IVFSearchParameters(nprobe=n_probe, sel=kept)  # type: ignore[call-arg]
