"""The answer of an index to a query: by a pass over all rows of a scope, or by codes and then rows.

Codes are asked where the rows of a scope are so many that a pass over them would be felt. The
statistics of coded rows come from sums, per video; of a scope that takes a part of a video those of
the whole video stand, and the deviation is that within the videos of the index. Where codes find
too little, an overview proposes chunks.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from engine.chunk_refs import ranges
from engine.index._codes import WORTH_BYTES, Codes, selector
from engine.index._saving import Snapshot
from engine.index._selection import (
    around,
    behind,
    best_chunks,
    by_segment,
    gather_pts_s,
    multiply,
    near,
    score_stats,
    select,
)
from engine.index._table import Runs
from engine.records import IndexResult, Scope, ScoreStats
from engine.tensors import FrameScores, Rank

NEIGHBOURS = 2
"""Chunks on either side of a frame that codes propose, whose frames are weighed too: a moment is
more than its best frame."""

_LIKELY = 8
"""Chunks whose frames are looked at for each that is chosen."""


def search(
    taken: Snapshot, query: Float32[np.ndarray, " dim"], top: int, within: Scope | None
) -> IndexResult:
    """Find the best chunks, and how the query scores against all frames of the scope."""
    runs = select(taken.view, taken.segments, within)
    codes = _codes_for(taken, runs)
    looked_at = runs if codes is None else _proposed(taken, codes, runs, query[None], top, reach=0)
    scores = multiply(taken.view, taken.segments, looked_at, query[None])[0]
    hits = best_chunks(taken.view, taken.segments, looked_at, scores, top)
    if codes is None:
        return IndexResult(hits=hits, stats=score_stats(taken.view, runs, scores))
    uncoded = behind(taken.view, looked_at, codes.next_row)
    tail = scores[len(scores) - uncoded.n_rows :]
    exact = score_stats(taken.view, uncoded, tail)
    return IndexResult(hits=hits, stats=_joined(taken, runs, codes, query, exact))


def frame_scores(
    taken: Snapshot,
    queries: Float32[np.ndarray, "query dim"],
    within: Scope | None,
    most: int | None,
    rank: Rank | None,
) -> FrameScores:
    """Return the inner products of queries with the frames of a scope.

    Args:
        taken: The index.
        queries: At least one.
        within: Only these spans of these videos.
        most: Of an archive only the best frames, about so many, and those beside them; all frames
            when `None`.
        rank: Worth of frames by their scores; each query has its own best when `None`.
    """
    runs = select(taken.view, taken.segments, within)
    codes = None if most is None else _codes_for(taken, runs)
    # Whoever has a ranking of its own asks by phrases, whose pictures are scattered.
    is_scattered = codes is not None and rank is not None and not codes.finds_scattered
    if codes is not None and most is not None and not is_scattered:
        runs = _proposed(taken, codes, runs, queries, most, reach=NEIGHBOURS)
    elif most is not None and rank is not None and _is_worth_it(taken, runs):
        runs = _promising(taken, runs, queries, most, rank)
    scores = multiply(taken.view, taken.segments, runs, queries)
    return _in_order(taken, runs, scores)


def frames_of(
    taken: Snapshot, chunk: int
) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]]:
    """Return the vectors of the frames of a chunk, by its index in the view, and their times."""
    count = taken.view.chunks["n_rows"][[chunk]].astype(np.int64)
    runs = Runs(chunk=np.array([chunk]), first=np.zeros(1, np.int64), last=count)
    ((segment, begin, end),) = by_segment(taken.view, taken.segments, runs)
    rows = slice(int(begin[0]), int(end[0]))
    return (
        torch.from_numpy(np.array(segment.vectors[rows])),
        torch.from_numpy(np.array(segment.pts_s[rows])),
    )


def _codes_for(taken: Snapshot, runs: Runs) -> Codes | None:
    """Return the codes to ask; `None` where a pass over the rows does as well."""
    if taken.codes is None or not taken.codes.is_useful:
        return None
    return taken.codes if _is_worth_it(taken, runs) else None


def _is_worth_it(taken: Snapshot, runs: Runs) -> bool:
    """Tell whether a pass over rows would be felt."""
    return 4 * int(taken.segments[0].vectors.shape[1]) * runs.n_rows >= WORTH_BYTES


def _promising(
    taken: Snapshot,
    runs: Runs,
    queries: Float32[np.ndarray, "query dim"],
    most: int,
    rank: Rank,
) -> Runs:
    """Return the runs of the best chunks and those beside them, by overviews and then by rows.

    Chunks of segments without an overview are all returned.
    """
    # Sorted already: to sort them again would cost more than what follows.
    chunks = runs.chunk[np.flatnonzero(np.diff(runs.chunk, prepend=-1))]
    seen, estimates = [np.empty(0, np.int64)], [np.empty((len(queries), 0), np.float32)]
    unseen = [np.empty(0, np.int64)]
    for segment in taken.segments:
        bounds = [segment.first_chunk, segment.first_chunk + segment.n_chunks]
        of_segment = chunks[slice(*np.searchsorted(chunks, bounds).tolist())]
        if segment.overview is None:
            unseen.append(of_segment)
        elif len(of_segment):
            seen.append(of_segment)
            estimates.append(segment.overview.estimates(queries, of_segment - segment.first_chunk))
    overviewed = np.concatenate(seen)
    likely = overviewed[_best(_worth(rank, np.concatenate(estimates, axis=1)), _LIKELY * most)]
    looked_at = around(taken.view, runs, likely, reach=0)
    worth = _worth(rank, multiply(taken.view, taken.segments, looked_at, queries))
    # A scope may take two stretches of one chunk: it is as good as its best frame.
    ends = np.cumsum(looked_at.counts)
    first = np.flatnonzero(np.diff(looked_at.chunk, prepend=-1))
    of_chunk = np.maximum.reduceat(worth, (ends - looked_at.counts)[first]) if len(worth) else worth
    best = looked_at.chunk[first][_best(of_chunk, most)]
    return around(taken.view, runs, np.union1d(best, np.concatenate(unseen)), NEIGHBOURS)


def _worth(
    rank: Rank, scores: Float32[np.ndarray, "query scored"]
) -> Float32[np.ndarray, " scored"]:
    """Return the worth of scored frames or chunks."""
    return rank(torch.from_numpy(scores)).numpy()


def _best(worth: Float32[np.ndarray, " scored"], most: int) -> Int64[np.ndarray, " chosen"]:
    """Return the index of so many of the best, ascending; of equal ones the first."""
    if len(worth) <= most:
        return np.arange(len(worth))
    # A partition, because all of an archive is sorted for nothing.
    least = np.partition(worth, len(worth) - most)[len(worth) - most]
    above = np.flatnonzero(worth > least)
    equal = np.flatnonzero(worth == least)[: most - len(above)]
    return np.sort(np.concatenate([above, equal]))


def _proposed(
    taken: Snapshot,
    codes: Codes,
    runs: Runs,
    queries: Float32[np.ndarray, "query dim"],
    top: int,
    *,
    reach: int,
) -> Runs:
    """Return the runs that codes propose for any of the queries, and those without codes."""
    view = taken.view
    kept = None
    if len(runs.chunk) < len(view.chunks) or not view.is_kept.all():
        # Ends and beginnings of runs, added up: which numbers lie inside.
        edges = np.zeros(codes.next_row + 1, np.int32)
        first = np.minimum(view.chunks["row"][runs.chunk] + runs.first, codes.next_row)
        np.add.at(edges, first, 1)
        np.add.at(edges, np.minimum(first + runs.counts, codes.next_row), -1)
        kept = selector(np.cumsum(edges[:-1]) > 0)
    rows = np.concatenate([codes.candidates(query, top, kept) for query in queries])
    coded = near(view, runs, rows, reach)
    uncoded = behind(view, runs, codes.next_row)
    chunk = np.concatenate([coded.chunk, uncoded.chunk])
    first = np.concatenate([coded.first, uncoded.first])
    joined = Runs(chunk=chunk, first=first, last=np.concatenate([coded.last, uncoded.last]))
    if not reach:
        return joined
    # What lies beside coded rows may have no codes itself, and then comes twice.
    _, once = np.unique(np.stack([chunk, first]), axis=1, return_index=True)
    return joined.some(np.sort(once))


def _joined(
    taken: Snapshot,
    runs: Runs,
    codes: Codes,
    query: Float32[np.ndarray, " dim"],
    exact: Sequence[ScoreStats],
) -> tuple[ScoreStats, ...]:
    """Return the statistics of coded and other rows, of the videos of a scope."""
    view = taken.view
    coded_means, deviation = codes.stats(query)
    others = {video.video: video for video in exact}
    videos = [view.videos[code] for code in view.videos_of(runs).tolist()]
    places = np.array([codes.videos.get(video, -1) for video in videos], dtype=np.int64)
    is_coded = places >= 0
    counts = np.where(is_coded, codes.counts[places], 0)
    means = np.where(is_coded, coded_means[places], 0.0)
    joined = []
    for video, count, mean in zip(videos, counts.tolist(), means.tolist(), strict=True):
        beside, std = others.get(video), deviation
        if beside is not None:
            both = count + beside.n_frames
            mean = (count * mean + beside.n_frames * beside.mean) / both
            std = float(np.sqrt((count * deviation**2 + beside.n_frames * beside.std**2) / both))
            count = both
        joined.append(ScoreStats(video=video, n_frames=max(1, count), mean=mean, std=std))
    return tuple(joined)


def _in_order(taken: Snapshot, runs: Runs, scores: Float32[np.ndarray, "query row"]) -> FrameScores:
    """Return scored rows with the frames that they are, by video and time."""
    view = taken.view
    of_run = view.place[runs.chunk]
    pts_s = gather_pts_s(view, taken.segments, runs)
    counts = runs.counts
    if (np.diff(of_run) < 0).any():
        # Videos that were read at the same time lie between each other.
        order = np.argsort(of_run, kind="stable")
        begin = np.cumsum(counts) - counts
        rows = ranges(begin[order], counts[order])
        of_run, counts, pts_s, scores = of_run[order], counts[order], pts_s[rows], scores[:, rows]
    return FrameScores(
        chunks=view.refs,
        chunk=torch.from_numpy(np.repeat(of_run, counts)),
        pts_s=torch.from_numpy(pts_s),
        scores=torch.from_numpy(np.ascontiguousarray(scores)),
    )
