"""Making of codes beside an index in use: of which rows, and when centres are sought anew.

Where codes turn out to be of no use, overviews of the segments are made in their place.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from jaxtyping import Float32, Int64
from safetensors import SafetensorError

from engine.index._codes import (
    BLOCK_ROWS,
    LEAST_RECALL,
    RETRAIN_FACTOR,
    WORTH_BYTES,
    Blocks,
    Codes,
    Moments,
    disturbed,
    fill,
    lists_for,
    merged,
    nearest,
    read_part,
    train,
    tune,
    write_part,
)
from engine.index._manifest import CodesEntry, read_manifest, sweep, write_manifest
from engine.index._overview import Overview, make_overview
from engine.index._saving import Snapshot
from engine.index._segment import Segment
from engine.index._selection import behind, by_segment
from engine.index._table import Runs
from engine.records import VideoId

_log = logging.getLogger(__name__)

_TUNING_ROWS = 1 << 15
"""Rows of a trial, among which the exact answer is sought."""
_STRETCH_ROWS = 1 << 8
"""Rows of a trial that follow each other: four minutes at one frame a second."""


def is_due(taken: Snapshot, dim: int) -> bool:
    """Tell whether an index is large enough for codes, and has enough rows without."""
    runs, codes = _saved(taken), taken.codes
    if 4 * dim * runs.n_rows < WORTH_BYTES:
        return False
    if codes is None or runs.n_rows > RETRAIN_FACTOR * codes.trained_rows:
        return True
    return codes.is_useful and behind(taken.view, runs, codes.next_row).n_rows >= BLOCK_ROWS


def without_overview(taken: Snapshot, dim: int) -> tuple[Segment, ...]:
    """Return the saved segments of which an overview is due: where codes do not serve phrases.

    Those of few rows are looked through one by one.
    """
    codes = taken.codes
    if codes is None or codes.finds_scattered or 4 * dim * _saved(taken).n_rows < WORTH_BYTES:
        return ()
    return tuple(
        segment
        for segment in taken.segments
        if segment.name and segment.overview is None and len(segment.vectors) >= BLOCK_ROWS
    )


def overview_of(taken: Snapshot, segment: Segment) -> Overview:
    """Return the overview of a segment; the index can be searched meanwhile."""
    chunks = taken.view.chunks[segment.first_chunk :][: segment.n_chunks]
    return make_overview(segment.vectors, chunks["place"], chunks["n_rows"].astype(np.int64))


def with_overview(
    segments: Sequence[Segment], segment: Segment, overview: Overview
) -> list[Segment]:
    """Return segments with the overview of one, where that is still among them."""
    return [
        replace(held, overview=overview) if held.name == segment.name else held for held in segments
    ]


def renewed(taken: Snapshot, dim: int) -> Codes:
    """Return codes of an index with those of what has come since.

    Rows that are in memory alone get none: another process may give their numbers to others.

    Cost: seconds for a hundred thousand rows; the index can be searched meanwhile.
    """
    runs, codes = _saved(taken), taken.codes
    n_rows = runs.n_rows
    last = taken.view.chunks[runs.chunk[-1]]
    next_row = int(last["row"] + last["n_rows"])
    faiss.omp_set_num_threads(1)
    if codes is not None and n_rows <= RETRAIN_FACTOR * codes.trained_rows:
        added = behind(taken.view, runs, codes.next_row)
        empty: Any = faiss.clone_index(codes.parts[0])
        empty.reset()
        return _with_part(codes, *fill(empty, _blocks(taken, added)), next_row=next_row)
    rows = _spread(n_rows, max(_TUNING_ROWS, 64 * lists_for(n_rows)))
    sample, _ = _rows(taken, runs, rows, dim)
    few = np.sort(np.random.default_rng(1).permutation(rows)[:_TUNING_ROWS])
    # Trials on a part of the rows, because to code all of them for nothing takes minutes.
    scattered_recall = _trial(taken, runs, few, dim)
    recall, n_probe = scattered_recall, 1
    if recall < LEAST_RECALL:
        recall = _trial(taken, runs, _stretches(n_rows), dim)
    parts: tuple[tuple[Any, Moments], ...] = ()
    if recall >= LEAST_RECALL:
        part, moments = fill(train(sample, n_rows), _blocks(taken, runs))
        queries = disturbed(sample)
        n_probe, recall = tune(part, queries, nearest(queries, _blocks(taken, runs)))
        # Of codes that are of no use only the finding is kept.
        parts = ((part, moments),) if recall >= LEAST_RECALL else ()
    return Codes(
        parts=tuple(part for part, _ in parts),
        names=(None,) * len(parts),
        moments=tuple(moments for _, moments in parts),
        n_probe=n_probe,
        recall=recall,
        scattered_recall=scattered_recall,
        trained_rows=n_rows,
        next_row=next_row,
    )


def _trial(taken: Snapshot, runs: Runs, rows: Int64[np.ndarray, " row"], dim: int) -> float:
    """Return the share of the nearest that codes of some rows find among them."""
    sample, numbers = _rows(taken, runs, rows, dim)
    trial = train(sample, len(sample))
    trial.add_with_ids(sample, numbers)
    queries = disturbed(sample)
    exact = nearest(queries, iter([(VideoId(""), numbers, sample)]))
    return tune(trial, queries, exact, numbers)[1]


def publish(folder: Path, codes: Codes, version: str | None) -> tuple[Codes, str] | None:
    """Write codes and list them; return them and the new version of the list.

    Args:
        folder: Of the index, which no other process saves now.
        codes: Of its rows.
        version: Of the list when the codes were made; where another process has saved since, its
            rows may have other numbers, and nothing is written.
    Raises:
        OSError: They cannot be written.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.version != version:
        return None
    written = write_codes(folder, codes)
    manifest = replace(manifest, codes=entry_of(written), version=secrets.token_hex(8))
    write_manifest(folder, manifest)
    sweep(folder, manifest)
    return written, manifest.version


def _with_part(codes: Codes, part: Any, moments: Moments, *, next_row: int) -> Codes:
    """Return codes with one part more, merged with those before that are not twice as large."""
    pairs = [*zip(codes.parts, codes.moments, strict=True)]
    names = list(codes.names)
    group = [(part, moments)]
    while pairs and pairs[-1][0].ntotal <= 2 * sum(index.ntotal for index, _ in group):
        group.insert(0, pairs.pop())
        names.pop()
    pairs.append(merged(group) if len(group) > 1 else group[0])
    return Codes(
        parts=tuple(index for index, _ in pairs),
        names=(*names, None),
        moments=tuple(sums for _, sums in pairs),
        n_probe=codes.n_probe,
        recall=codes.recall,
        scattered_recall=codes.scattered_recall,
        trained_rows=codes.trained_rows,
        next_row=next_row,
    )


def write_codes(folder: Path, codes: Codes) -> Codes:
    """Write the parts that have no file yet; return the codes with their names.

    Raises:
        OSError: They cannot be written.
    """
    names = []
    for part, name, moments in zip(codes.parts, codes.names, codes.moments, strict=True):
        if name is None or not (folder / name).exists():
            name = f"{secrets.token_hex(8)}.codes"
            write_part(folder / name, part, moments)
        names.append(name)
    return Codes(
        parts=codes.parts,
        names=tuple(names),
        moments=codes.moments,
        n_probe=codes.n_probe,
        recall=codes.recall,
        scattered_recall=codes.scattered_recall,
        trained_rows=codes.trained_rows,
        next_row=codes.next_row,
    )


def entry_of(codes: Codes | None) -> CodesEntry | None:
    """Return codes as a manifest lists them; `None` where a part has no file yet."""
    if codes is None or None in codes.names:
        return None
    return CodesEntry(
        n_probe=codes.n_probe,
        recall=codes.recall,
        scattered_recall=codes.scattered_recall,
        trained_rows=codes.trained_rows,
        parts=tuple(name for name in codes.names if name is not None),
        next_row=codes.next_row,
    )


def read_codes(folder: Path, entry: CodesEntry | None, dim: int) -> Codes | None:
    """Read the codes of a saved index; `None` where there are none, or none that can be used."""
    if entry is None:
        return None
    try:
        pairs = [read_part(folder / name) for name in entry.parts]
        if any(int(part.d) != dim for part, _ in pairs):
            raise ValueError("they are of other vectors")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        _log.warning("the codes of %s are made again: %s", folder, error)
        return None
    return Codes(
        parts=tuple(part for part, _ in pairs),
        names=entry.parts,
        moments=tuple(moments for _, moments in pairs),
        n_probe=entry.n_probe,
        recall=entry.recall,
        scattered_recall=entry.scattered_recall,
        trained_rows=entry.trained_rows,
        next_row=entry.next_row,
    )


def _saved(taken: Snapshot) -> Runs:
    """Return the rows that have a file."""
    n_chunks = sum(segment.n_chunks for segment in taken.segments if segment.name is not None)
    runs = taken.view.everything
    return runs.some(slice(0, int(np.searchsorted(runs.chunk, n_chunks))))


def _spread(n_rows: int, most: int) -> Int64[np.ndarray, " row"]:
    """Return so many of the rows, evenly over all."""
    step = max(1, -(-n_rows // most))
    return np.arange(0, n_rows, step)


def _stretches(n_rows: int) -> Int64[np.ndarray, " row"]:
    """Return rows in stretches long enough to hold whole scenes, evenly over all."""
    n_stretches = _TUNING_ROWS // _STRETCH_ROWS
    starts = np.linspace(0, max(0, n_rows - _STRETCH_ROWS), n_stretches).astype(np.int64)
    rows = starts[:, None] + np.arange(_STRETCH_ROWS)
    return np.unique(rows[rows < n_rows])


def _rows(
    taken: Snapshot, runs: Runs, rows: Int64[np.ndarray, " row"], dim: int
) -> tuple[Float32[np.ndarray, "row dim"], Int64[np.ndarray, " row"]]:
    """Return the vectors and numbers of some rows, counted over all runs."""
    behind_run = np.cumsum(runs.counts)
    run = np.searchsorted(behind_run, rows, side="right")
    within = rows - (behind_run - runs.counts)[run] + runs.first[run]
    chosen = Runs(chunk=runs.chunk[run], first=within, last=within + 1)
    parts = [
        segment.vectors[begin]
        for segment, begin, _ in by_segment(taken.view, taken.segments, chosen)
    ]
    numbers = taken.view.chunks["row"][chosen.chunk] + within
    return np.concatenate([np.empty((0, dim), np.float32), *parts]), numbers


def _blocks(taken: Snapshot, runs: Runs) -> Blocks:
    """Yield rows by stretches of one video."""
    for segment, begin, end in by_segment(taken.view, taken.segments, runs):
        first = int(np.searchsorted(runs.chunk, segment.first_chunk))
        chunks = runs.chunk[first : first + len(begin)]
        videos = taken.view.chunks["video"][chunks]
        numbers = taken.view.chunks["row"][chunks]
        for part in np.split(np.arange(len(chunks)), np.flatnonzero(np.diff(videos)) + 1):
            rows = np.concatenate(
                [
                    np.arange(numbers[idx], numbers[idx] + end[idx] - begin[idx])
                    for idx in part.tolist()
                ]
            )
            vectors = np.concatenate(
                [segment.vectors[int(begin[idx]) : int(end[idx])] for idx in part.tolist()]
            )
            yield taken.view.videos[int(videos[part[0]])], rows, vectors
