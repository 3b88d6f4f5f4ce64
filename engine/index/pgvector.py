"""Vectors in PostgreSQL, shared by several machines: the engine's side of a table handed to it.

The chunks and where they lie in time are held here, as small as a list of them, and brought up to
the table's last change by each question; vectors stay in the database.

A scope of up to `EXACT_FRAMES` frames is searched exactly, frame by frame. In a larger one the
centres of chunks, by the graph or all of them, propose chunks, and the frames of those decide: what
is returned are exact inner products. The statistics of a video then come from the sum of its
vectors: the mean of the whole video stands for its part in the scope, and the deviation within
videos is that of one frame of each of some thousand chunks, the same for every query. Where centres
were measured to propose too little, every search compares all frames of the scope, on the server.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.errors import InputRefusedError, LongwatchError
from engine.index._estimates import ScoreEstimates
from engine.index._places import Held, deviation_sample, joined, merged_spans
from engine.records import ChunkRef, Fingerprint, Hit, IndexResult, Scope, ScoreStats, VideoId
from engine.tensors import ChunkVectors, FrameScores, Rank
from engine.vector_rows import ChunkScores, FrameRows, Spans, VectorTable, VectorTables

EXACT_FRAMES: Final = 20_000
"""Frames of a scope up to which all are compared: some 30 ms on the server."""
GRAPH_CHUNKS: Final = 5_000
"""Chunks from which a graph is built, and centres propose."""
BATCH_CHUNKS: Final = 256
"""Most chunks of a transaction, where many are read from files: 5,000 chunks took both sides 1.4 s
of processor time in 20 transactions, and 18 s in one for each chunk."""
BATCH_GRAPH_CHUNKS: Final = 8
"""The same where there is a graph: to place a chunk takes 12 ms, and others wait meanwhile."""
BATCH_VALUES: Final = 2 << 20
"""Most numbers of a transaction, of two bytes each on their way."""
REGROWN: Final = 4
"""Growth after which a graph that found too little is tried again."""
LEAST_RECALL: Final = 0.8
"""Share of the ten nearest chunks that the centres have to find; of a drawn million they find 0.94
where a few of the ten are near by chance, and nearly all where ten are of one scene."""
NEIGHBOURS: Final = 2
"""Chunks on either side of a proposed one, whose frames are weighed too."""
_LIKELY: Final = 4
"""Chunks that are proposed for each that is wanted."""
_LEAST_PROPOSED: Final = 40
_GRAPH_COST: Final = 64
"""Cost of a chunk that the graph visits, in chunks of a pass over centres."""
_QUERIES: Final = 32
_NEAREST: Final = 10
_NOISE: Final = 0.3

_log = logging.getLogger(__name__)


def open_index(
    dim: int,
    path: Path,
    fingerprint: Fingerprint | None = None,
    *,
    tables: VectorTables | None = None,
) -> "PgVectorIndex":
    """Open the index of a fingerprint in a database.

    Args:
        dim: Components of a vector.
        path: Not used: nothing lies in files.
        fingerprint: Of the pipeline or encoder.
        tables: The database.
    Raises:
        InputRefusedError: There is no database.
        UnreachableError: It cannot be reached.
    """
    if tables is None or fingerprint is None:
        raise InputRefusedError(
            "an index in PostgreSQL needs a database", hint="give its address, or keep files"
        )
    return PgVectorIndex(tables.open(fingerprint, dim), dim)


class PgVectorIndex:
    """Vectors in a table, and the list of its chunks. Safe for several threads and processes."""

    def __init__(self, table: VectorTable, dim: int) -> None:
        self.dim = dim
        self._table = table
        self._lock = threading.RLock()
        self._held = Held()
        self._own_removals: set[int] = set()
        self._removed_elsewhere: set[VideoId] = set()
        self._estimates = ScoreEstimates(table)
        self._building: threading.Thread | None = None
        self._refresh()
        self._removed_elsewhere.clear()
        self._marks = self._held.marks()

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        return int(self._refresh().n_frames.sum())

    def add(self, chunks: Iterable[ChunkVectors]) -> None:
        """Add chunks of one video, many in one transaction; what is there already is replaced."""
        batch: list[ChunkVectors] = []
        most = BATCH_GRAPH_CHUNKS if self._held.index.is_there else BATCH_CHUNKS
        n_values = 0
        for chunk in chunks:
            batch.append(chunk)
            n_values += chunk[1].numel()
            if len(batch) >= most or n_values >= BATCH_VALUES:
                self._add(batch)
                batch, n_values = [], 0
        self._add(batch)

    def _add(self, chunks: Sequence[ChunkVectors]) -> None:
        if not chunks:
            return
        rows = [(ref, vectors.float().cpu().numpy(), at.numpy()) for ref, vectors, at in chunks]
        with self._lock:
            self._own_removals.add(self._table.add(rows))

    def remove(self, video: VideoId, ordinal: int | None = None) -> None:
        """Forget a video, or one of its chunks."""
        with self._lock:
            change = self._table.remove(video, ordinal)
            if change is not None:
                self._own_removals.add(change)
            self._marks = {held: mark for held, mark in self._marks.items() if held != video}

    def search(
        self,
        query: Float[Tensor, " dim"],
        top: int,
        *,
        within: Scope | None = None,
    ) -> IndexResult:
        """Find the best chunks, and how the query scores against all frames of the scope."""
        held = self._refresh()
        spans = merged_spans(held, within)
        vector = query.float().cpu().numpy()
        if self._is_passed_over(held, spans):
            scored = self._table.chunk_scores(vector, spans)
            best = scored.places[np.argsort(-scored.best, kind="stable")]
            best, stats = best[held.has(best)][:top], _exact_stats(held, scored)
        else:
            best = self._nearest(held, vector, spans, top)
            with self._lock:
                stats = self._estimates.stats(held, vector, spans)
        return IndexResult(hits=self._hits(held, vector, best, spans, top), stats=stats)

    def nearest_by_all(
        self, query: Float[Tensor, " dim"], top: int, *, within: Scope | None = None
    ) -> frozenset[ChunkRef]:
        """Return the best chunks by a pass over all frames of a scope: the oracle of a search."""
        held = self._refresh()
        spans = merged_spans(held, within)
        scored = self._table.chunk_scores(query.float().cpu().numpy(), spans)
        best = scored.places[np.argsort(-scored.best, kind="stable")[:top]]
        return frozenset(held.refs[at] for at in np.searchsorted(held.places, best).tolist())

    def scores(
        self,
        queries: Float[Tensor, "query dim"],
        *,
        within: Scope | None = None,
        most: int | None = None,
        rank: Rank | None = None,
    ) -> FrameScores:
        """Return the inner products of several vectors with the frames of a scope."""
        held = self._refresh()
        spans = merged_spans(held, within)
        vectors = queries.float().cpu().numpy()
        if most is not None and held.count(spans) > EXACT_FRAMES:
            chosen = self._promising(held, vectors, spans, most, rank)
            spans = held.spans_of(held.beside(chosen, NEIGHBOURS), spans)
        rows = self._table.frame_scores(vectors, spans)
        rows = _known(held, rows)
        return FrameScores(
            chunks=held.refs,
            chunk=torch.from_numpy(np.searchsorted(held.places, rows.places)),
            pts_s=torch.from_numpy(rows.pts_s),
            scores=torch.from_numpy(np.ascontiguousarray(rows.values.T)),
        )

    def frames(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]] | None:
        """Return the vectors of a chunk's frames and their times; `None` where it is not held."""
        held = self._refresh()
        at = held.refs.place_of(video, ordinal)
        rows = None if at is None else self._table.frames(held.places[[at]], None)
        if rows is None or not len(rows.places):
            return None
        return torch.from_numpy(rows.values), torch.from_numpy(rows.pts_s)

    def refs(self, within: Scope | None = None) -> ChunkRefs:
        """Return the chunks that reach into a scope, by video, then in time order."""
        refs = self._refresh().refs
        return refs if within is None else refs.reaching_into(within)

    @property
    def marks(self) -> Mapping[VideoId, int]:
        """Numbers that were noted of videos, by any process, when the index was opened."""
        return self._marks

    def removed_elsewhere(self) -> frozenset[VideoId]:
        """Return the videos of which another process has removed something since the last call."""
        self._refresh()
        with self._lock:
            removed = frozenset(self._removed_elsewhere)
            self._removed_elsewhere.clear()
        return removed

    def save(
        self, path: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int] | None = None
    ) -> None:
        """Note the marks; everything else is in the database already."""
        with self._lock:
            changed = {
                video: mark
                for video, mark in (marks or {}).items()
                if self._marks.get(video) != mark
            }
            if changed:
                self._table.note(changed)
                self._marks = {**self._marks, **changed}
            held = self._refresh()
            is_busy = self._building is not None and self._building.is_alive()
            if is_busy or not _is_graph_due(held):
                return
            self._building = threading.Thread(target=self._build, name="index-graph")
            self._building.start()

    def settle(self) -> None:
        """Wait until a graph that is being built is in use."""
        building = self._building
        if building is not None:
            building.join()

    def _build(self) -> None:
        try:
            if self._table.build_graph():
                recall = self._measured_recall(self._refresh())
                self._table.note_graph(recall, is_kept=recall >= LEAST_RECALL)
        except LongwatchError as error:
            _log.warning("the index stays without a graph: %s", error)

    def _measured_recall(self, held: Held) -> float:
        """Return the share of the nearest chunks that the graph finds, for disturbed vectors."""
        generator = np.random.default_rng(0)
        places = deviation_sample(held)[:_QUERIES]
        shares = []
        for vector in self._table.frames(places, np.zeros(len(places), np.int64)).values:
            noise = generator.standard_normal(self.dim).astype(np.float32)
            length = float(np.linalg.norm(vector)) / self.dim**0.5
            query = vector + _NOISE * length * noise
            exact = self._table.chunk_scores(query, None)
            wanted = exact.places[np.argsort(-exact.best, kind="stable")[:_NEAREST]]
            proposed = self._table.nearest(query, None, _LIKELY * _NEAREST, by_graph=True)
            shares.append(np.isin(wanted, proposed).mean())
        return float(np.mean(shares)) if shares else 0.0

    def _refresh(self) -> Held:
        """Return what is held now, by any process."""
        with self._lock:
            changes = self._table.changes(self._held.change)
            if changes is not None:
                self._estimates.forget(changes)
                for video in changes.videos:
                    if video.is_reread and video.removed_at not in self._own_removals:
                        name = video.video or self._held.videos.get(video.number)
                        if name is not None:
                            self._removed_elsewhere.add(name)
                self._held = joined(self._held, changes)
                self._own_removals = {
                    change for change in self._own_removals if change > changes.change
                }
            return self._held

    def _is_passed_over(self, held: Held, spans: Spans | None) -> bool:
        return held.count(spans) <= EXACT_FRAMES or held.index.recall < LEAST_RECALL

    def _nearest(
        self, held: Held, query: Float32[np.ndarray, " dim"], spans: Spans | None, count: int
    ) -> Int64[np.ndarray, " proposed"]:
        """Return the places that centres propose: by the graph where so many pass the filter."""
        n_wanted = max(_LEAST_PROPOSED, _LIKELY * count)
        n_all, n_within = len(held.places), len(held.within(spans))
        by_graph = held.index.is_there and n_within**2 > _GRAPH_COST * n_wanted * n_all
        return self._table.nearest(query, spans, n_wanted, by_graph=by_graph)

    def _promising(
        self,
        held: Held,
        queries: Float32[np.ndarray, "query dim"],
        spans: Spans | None,
        most: int,
        rank: Rank | None,
    ) -> Int64[np.ndarray, " chosen"]:
        """Return the places of the most promising chunks."""
        if not self._is_passed_over(held, spans):
            proposed = [self._nearest(held, query, spans, most // _LIKELY) for query in queries]
            return np.unique(np.concatenate(proposed))
        scored = [self._table.chunk_scores(query, spans) for query in queries]
        best = np.stack([part.best for part in scored]).astype(np.float32)
        places = scored[0].places
        worths = best if rank is None else rank(torch.from_numpy(best)).numpy()[None]
        chosen = [places[np.argsort(-worth, kind="stable")[:most]] for worth in worths]
        return np.unique(np.concatenate(chosen))

    def _hits(
        self,
        held: Held,
        query: Float32[np.ndarray, " dim"],
        places: Int64[np.ndarray, " proposed"],
        spans: Spans | None,
        top: int,
    ) -> tuple[Hit, ...]:
        """Return the best of some chunks, at their best frames; of equal ones the first."""
        if not len(places):
            return ()
        frames = self._table.frame_scores(query[None], held.spans_of(places, spans))
        frames = _known(held, frames)
        scores = frames.values[:, 0]
        # By score, then by place and time: the first row of a place is its best frame.
        order = np.argsort(-scores, kind="stable")
        _, first = np.unique(frames.places[order], return_index=True)
        hits = []
        for row in order[np.sort(first)][:top].tolist():
            # The dot product of two unit vectors may exceed 1 by a rounding error.
            score = float(np.clip(scores[row], -1.0, 1.0))
            at = int(np.searchsorted(held.places, frames.places[row]))
            hits.append(Hit(chunk=held.refs[at], score=score, peak_s=float(frames.pts_s[row])))
        return tuple(hits)


def _is_graph_due(held: Held) -> bool:
    """Tell whether a graph is to be built, or to be measured where whoever built it has ended."""
    index, n_chunks = held.index, len(held.places)
    if index.is_there:
        # One that was measured and found useless is not there.
        return index.recall < LEAST_RECALL
    return n_chunks >= max(GRAPH_CHUNKS, REGROWN * index.n_chunks)


def _known(held: Held, rows: FrameRows) -> FrameRows:
    """Leave out rows of chunks that came since the list of chunks was read."""
    is_known = held.has(rows.places)
    if is_known.all():
        return rows
    return FrameRows(
        places=rows.places[is_known], pts_s=rows.pts_s[is_known], values=rows.values[is_known]
    )


def _exact_stats(held: Held, scored: ChunkScores) -> tuple[ScoreStats, ...]:
    """Return mean and deviation of each video from the sums of its chunks."""
    numbers, of_chunk = np.unique(held.number_of(scored.places), return_inverse=True)
    counts = np.bincount(of_chunk, weights=scored.n_frames)
    means = np.bincount(of_chunk, weights=scored.sums) / counts
    squares = np.bincount(of_chunk, weights=scored.squares) / counts
    stds = np.sqrt(np.maximum(0.0, squares - means**2))
    return tuple(
        ScoreStats(video=held.videos[number], n_frames=int(count), mean=mean, std=std)
        for number, count, mean, std in zip(
            numbers.tolist(), counts.tolist(), means.tolist(), stds.tolist(), strict=True
        )
        if number in held.videos
    )
