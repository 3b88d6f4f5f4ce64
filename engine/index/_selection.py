"""The rows of an index that lie in a scope: runs within chunks, and what is made of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64

from engine.chunk_refs import ranges
from engine.index._segment import Segment
from engine.index._table import Runs, TableView
from engine.records import Hit, Scope, ScoreStats


def select(view: TableView, segments: Sequence[Segment], scope: Scope | None) -> Runs:
    """Return the rows whose frames lie in a scope.

    Cost: a few numbers for each chunk of the videos that the scope names, and nothing where it
        takes all of them; times of frames are read only for chunks at the ends of spans.
    """
    if scope is None or view.refs.are_within(scope):
        return view.everything
    places, start_s, end_s = view.refs.pairs(scope)
    chunk = view.order[places]
    chunks = view.chunks[chunk]
    # The last frame of a chunk may stand at its end.
    reaches = (chunks["start_s"] < end_s) & (start_s <= chunks["end_s"]) & (chunks["n_rows"] > 0)
    chunk, chunks = chunk[reaches], chunks[reaches]
    start_s, end_s = start_s[reaches], end_s[reaches]
    first = np.zeros(len(chunk), np.int64)
    last = chunks["n_rows"].astype(np.int64)
    is_cut = np.flatnonzero((chunks["start_s"] < start_s) | (end_s <= chunks["end_s"]))
    if len(is_cut):
        whole = Runs(chunk=chunk[is_cut], first=first[is_cut], last=last[is_cut])
        whole, order = _by_row(whole)
        cut = is_cut[order]
        pts_s = gather_pts_s(view, segments, whole)
        starts = np.cumsum(whole.counts) - whole.counts
        before = pts_s < np.repeat(start_s[cut], whole.counts)
        within = pts_s < np.repeat(end_s[cut], whole.counts)
        first[cut] = np.add.reduceat(before.astype(np.int64), starts)
        last[cut] = np.add.reduceat(within.astype(np.int64), starts)
    is_held = first < last
    runs, _ = _by_row(Runs(chunk=chunk[is_held], first=first[is_held], last=last[is_held]))
    return _united(runs)


def _by_row(runs: Runs) -> tuple[Runs, Int64[np.ndarray, " run"]]:
    order = np.lexsort((runs.first, runs.chunk))
    return Runs(chunk=runs.chunk[order], first=runs.first[order], last=runs.last[order]), order


def _united(runs: Runs) -> Runs:
    """Return runs that do not overlap, from sorted ones."""
    if not (runs.chunk[1:] == runs.chunk[:-1]).any():
        return runs
    united: list[list[int]] = []
    for chunk, first, last in zip(
        runs.chunk.tolist(), runs.first.tolist(), runs.last.tolist(), strict=True
    ):
        if united and united[-1][0] == chunk and first <= united[-1][2]:
            united[-1][2] = max(united[-1][2], last)
        else:
            united.append([chunk, first, last])
    columns = np.array(united, dtype=np.int64).T
    return Runs(chunk=columns[0], first=columns[1], last=columns[2])


def by_segment(
    view: TableView, segments: Sequence[Segment], runs: Runs
) -> list[tuple[Segment, Int64[np.ndarray, " part"], Int64[np.ndarray, " part"]]]:
    """Return for each segment the stretches of its rows that runs name."""
    begin = view.chunks["place"][runs.chunk] + runs.first
    end = begin + runs.counts
    bounds = np.searchsorted(runs.chunk, [segment.first_chunk for segment in segments])
    behind = [*bounds[1:].tolist(), len(runs.chunk)]
    return [
        (segment, begin[lower:upper], end[lower:upper])
        for segment, lower, upper in zip(segments, bounds.tolist(), behind, strict=True)
        if lower < upper
    ]


def near(view: TableView, runs: Runs, rows: Int64[np.ndarray, " row"], reach: int = 0) -> Runs:
    """Return the runs that hold rows, and those of so many chunks before and after in a video.

    Args:
        view: The chunks.
        runs: Among which to choose.
        rows: Numbers of rows, in any order; those that are held no more are left out.
        reach: Chunks on either side.
    """
    chunk = np.searchsorted(view.chunks["row"], rows, side="right") - 1
    return around(view, runs, np.unique(chunk[chunk >= 0]), reach)


def around(view: TableView, runs: Runs, chunk: Int64[np.ndarray, " chosen"], reach: int) -> Runs:
    """Return the runs of chunks, and of so many before and after each in its video.

    Args:
        view: The chunks.
        runs: Among which to choose.
        chunk: Index in the view, ascending, each once.
        reach: Chunks on either side.
    """
    if reach:
        place = view.place[chunk]
        steps = place[place >= 0][:, None] + np.arange(-reach, reach + 1)
        beside = view.order[np.clip(steps, 0, len(view.order) - 1)]
        of_video = view.chunks["video"][chunk[place >= 0]][:, None]
        chunk = np.unique(beside[view.chunks["video"][beside] == of_video])
    first = np.searchsorted(runs.chunk, chunk, side="left")
    last = np.searchsorted(runs.chunk, chunk, side="right")
    return runs.some(ranges(first, last - first))


def behind(view: TableView, runs: Runs, row: int) -> Runs:
    """Return the runs of chunks that begin at a row or behind it."""
    chunk = int(np.searchsorted(view.chunks["row"], row))
    return runs.some(slice(int(np.searchsorted(runs.chunk, chunk)), None))


def gather_pts_s(
    view: TableView, segments: Sequence[Segment], runs: Runs
) -> Float64[np.ndarray, " row"]:
    """Return the times of rows."""
    parts = [
        segment.pts_s[ranges(begin, end - begin)]
        for segment, begin, end in by_segment(view, segments, runs)
    ]
    return np.concatenate([np.empty(0), *parts])


def multiply(
    view: TableView,
    segments: Sequence[Segment],
    runs: Runs,
    queries: Float32[np.ndarray, "query dim"],
) -> Float32[np.ndarray, "query row"]:
    """Return the inner products of queries with rows."""
    parts = [
        segment.multiply(queries, begin, end)
        for segment, begin, end in by_segment(view, segments, runs)
    ]
    return np.concatenate([np.empty((len(queries), 0), np.float32), *parts], axis=1)


def best_chunks(
    view: TableView,
    segments: Sequence[Segment],
    runs: Runs,
    scores: Float32[np.ndarray, " row"],
    top: int,
) -> tuple[Hit, ...]:
    """Return the best chunks of scored rows, each once, at its best frame; ties by age."""
    if not len(scores):
        return ()
    starts = np.cumsum(runs.counts) - runs.counts
    best = np.maximum.reduceat(scores, starts)
    n_twice = int((np.diff(runs.chunk) == 0).sum())
    n_wanted = min(len(best), top + n_twice)
    least = np.partition(best, len(best) - n_wanted)[len(best) - n_wanted]
    candidates = np.flatnonzero(best >= least)
    order = candidates[np.lexsort((candidates, -best[candidates]))]
    hits: dict[int, Hit] = {}
    for idx in order.tolist():
        chunk = int(runs.chunk[idx])
        if chunk in hits:
            continue
        of_run = scores[starts[idx] : starts[idx] + runs.counts[idx]]
        row = int(runs.first[idx]) + int(of_run.argmax())
        peak = Runs(
            chunk=runs.chunk[idx : idx + 1], first=np.array([row]), last=np.array([row + 1])
        )
        hits[chunk] = Hit(
            chunk=view.ref(chunk),
            # The dot product of two unit vectors may exceed 1 by a rounding error.
            score=float(np.clip(best[idx], -1.0, 1.0)),
            peak_s=float(gather_pts_s(view, segments, peak)[0]),
        )
        if len(hits) == top:
            break
    return tuple(hits.values())


def score_stats(
    view: TableView, runs: Runs, scores: Float32[np.ndarray, " row"]
) -> tuple[ScoreStats, ...]:
    """Return mean and standard deviation of scored rows, per video."""
    if not len(scores):
        return ()
    wide = scores.astype(np.float64)
    starts = np.cumsum(runs.counts) - runs.counts
    video = view.chunks["video"][runs.chunk]
    n_videos = len(view.videos)
    counts = np.bincount(video, weights=runs.counts, minlength=n_videos)
    present = np.flatnonzero(counts)
    n_frames = counts[present]
    sums = np.bincount(video, weights=np.add.reduceat(wide, starts), minlength=n_videos)
    means = sums[present] / n_frames
    # Around each video's mean: the difference of two large sums would lose what is left of it.
    of_video = np.zeros(n_videos)
    of_video[present] = means
    squares = np.square(wide - np.repeat(of_video[video], runs.counts))
    spread = np.bincount(video, weights=np.add.reduceat(squares, starts), minlength=n_videos)
    stds = np.sqrt(spread[present] / n_frames)
    return tuple(
        ScoreStats(video=view.videos[idx], n_frames=int(n), mean=mean, std=std)
        for idx, n, mean, std in zip(
            present.tolist(), n_frames.tolist(), means.tolist(), stds.tolist(), strict=True
        )
    )
