"""The chunks of a table in a database as columns, by place: which lie in a scope, and where."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float64, Int64

from engine.chunk_refs import ChunkRefs, ranges
from engine.records import Scope, VideoId
from engine.vector_rows import PLACE_BITS, Spans, TableChanges, TableIndex

SAMPLE_CHUNKS: Final = 2048
"""Chunks of which one frame each says how far scores lie apart within videos: the deviation is
known to a fiftieth."""
_ODD: Final = 0x9E3779B97F4A7C15
"""Multiplied with it, numbers that follow each other lie far apart (Fibonacci hashing)."""

Number = TypeVar("Number", int, Int64[np.ndarray, "..."])


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """The chunks that a table holds after a change."""

    change: int = 0
    index: TableIndex = field(default_factory=TableIndex)
    videos: Mapping[int, VideoId] = field(default_factory=dict)
    """By number, ascending; those without chunks too."""
    noted: Mapping[int, int] = field(default_factory=dict)
    """Marks by number of the video."""
    places: Int64[np.ndarray, " chunk"] = field(default_factory=lambda: np.empty(0, np.int64))
    start_s: Float64[np.ndarray, " chunk"] = field(default_factory=lambda: np.empty(0))
    end_s: Float64[np.ndarray, " chunk"] = field(default_factory=lambda: np.empty(0))
    n_frames: Int64[np.ndarray, " chunk"] = field(default_factory=lambda: np.empty(0, np.int64))

    def marks(self) -> dict[VideoId, int]:
        """Return the marks by video."""
        return {self.videos[number]: mark for number, mark in self.noted.items()}

    @staticmethod
    def number_of(place: Number) -> Number:
        """Return the number of the video of a place."""
        return place >> PLACE_BITS

    @cached_property
    def refs(self) -> ChunkRefs:
        """The chunks, in the order of their places."""
        numbers = self.number_of(self.places)
        first = np.flatnonzero(np.diff(numbers, prepend=-1))
        return ChunkRefs(
            [self.videos[number] for number in numbers[first].tolist()],
            np.append(first, len(numbers)).astype(np.int64),
            self.places & ((1 << PLACE_BITS) - 1),
            self.start_s,
            self.end_s,
        )

    def within(self, spans: Spans | None) -> Int64[np.ndarray, " chosen"]:
        """Return the chunks whose places lie in spans, by index and ascending."""
        if spans is None:
            return np.arange(len(self.places))
        first = np.searchsorted(self.places, spans.first, side="left")
        last = np.searchsorted(self.places, spans.last, side="right")
        return _once(ranges(first, last - first))

    def has(self, places: Int64[np.ndarray, " asked"]) -> Bool[np.ndarray, " asked"]:
        """Return which places are held."""
        if not len(self.places):
            return np.zeros(len(places), bool)
        at = np.minimum(np.searchsorted(self.places, places), len(self.places) - 1)
        return np.asarray(self.places[at] == places)

    def count(self, spans: Spans | None) -> int:
        """Return about how many frames lie in spans: those of every chunk that they reach."""
        return int(self.n_frames[self.within(spans)].sum())

    def numbers_within(self, spans: Spans | None) -> list[int]:
        """Return the numbers of the videos with chunks in spans, ascending."""
        numbers: list[int] = _once(self.number_of(self.places[self.within(spans)])).tolist()
        return numbers

    def beside(
        self, places: Int64[np.ndarray, " chosen"], reach: int
    ) -> Int64[np.ndarray, " beside"]:
        """Return places, and those of so many chunks before and after each in its video."""
        at = np.searchsorted(self.places, places)[:, None] + np.arange(-reach, reach + 1)
        around = self.places[np.clip(at, 0, len(self.places) - 1)]
        is_same = self.number_of(around) == self.number_of(places)[:, None]
        return np.unique(around[is_same])

    def spans_of(self, places: Int64[np.ndarray, " chosen"], spans: Spans | None) -> Spans:
        """Return the parts of spans that lie in chunks; all of the chunks where there are none."""
        places = np.sort(places)
        if spans is None:
            count = len(places)
            return Spans(
                first=places,
                last=places,
                start_s=np.full(count, -math.inf),
                end_s=np.full(count, math.inf),
            )
        first = np.searchsorted(places, spans.first, side="left")
        counts = np.searchsorted(places, spans.last, side="right") - first
        inside = places[ranges(first, counts)]
        return Spans(
            first=inside,
            last=inside,
            start_s=np.repeat(spans.start_s, counts),
            end_s=np.repeat(spans.end_s, counts),
        )


def _once(numbers: Int64[np.ndarray, " number"]) -> Int64[np.ndarray, " once"]:
    """Return ascending numbers, each once."""
    return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]


def joined(held: Held, changes: TableChanges) -> Held:
    """Return what is held after changes."""
    videos = {} if changes.is_whole else dict(held.videos)
    noted = {} if changes.is_whole else dict(held.noted)
    replaced = [video.number for video in changes.videos if video.is_reread]
    for video in changes.videos:
        noted.pop(video.number, None)
        if video.video is None:
            videos.pop(video.number, None)
            continue
        videos[video.number] = video.video
        if video.mark is not None:
            noted[video.number] = video.mark
    is_kept = np.full(len(held.places), not changes.is_whole)
    is_kept &= ~np.isin(held.number_of(held.places), replaced)
    is_kept &= ~np.isin(held.places, changes.places)
    places = np.concatenate([held.places[is_kept], changes.places])
    order = np.argsort(places, kind="stable")
    return Held(
        change=changes.change,
        index=changes.index,
        videos=dict(sorted(videos.items())),
        noted=noted,
        places=places[order],
        start_s=np.concatenate([held.start_s[is_kept], changes.start_s])[order],
        end_s=np.concatenate([held.end_s[is_kept], changes.end_s])[order],
        n_frames=np.concatenate([held.n_frames[is_kept], changes.n_frames])[order],
    )


def merged_spans(held: Held, scope: Scope | None) -> Spans | None:
    """Return where the frames of a scope lie, without overlaps; `None` where that is everywhere.

    Cost: a few numbers for each chunk of the videos that the scope names.
    """
    refs = held.refs
    if scope is None or refs.are_within(scope):
        return None
    by_video: dict[VideoId, list[list[float]]] = {}
    for video, span in sorted(scope, key=lambda part: (part[0], part[1].start_s)):
        if not refs.has(video) or span.start_s >= span.end_s:
            continue
        spans = by_video.setdefault(video, [])
        if spans and span.start_s <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], span.end_s)
        else:
            spans.append([span.start_s, span.end_s])
    rows: list[tuple[int, int, float, float]] = []
    for video, spans in by_video.items():
        at = refs.of_video(video)
        starts, ends = held.start_s[at], held.end_s[at]
        for start_s, end_s in spans:
            if start_s <= starts[0] and end_s == math.inf:
                rows.append((at.start, at.stop - 1, -math.inf, math.inf))
                continue
            # The last frame of a chunk may stand at its end.
            reaching = np.flatnonzero((starts < end_s) & (start_s <= ends))
            if len(reaching):
                first, last = at.start + int(reaching[0]), at.start + int(reaching[-1])
                rows.append((first, last, start_s, end_s))
    rows.sort()
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    return Spans(
        first=held.places[columns[0].astype(np.int64)],
        last=held.places[columns[1].astype(np.int64)],
        start_s=columns[2].copy(),
        end_s=columns[3].copy(),
    )


def deviation_sample(held: Held) -> Int64[np.ndarray, " sampled"]:
    """Return the places of the chunks that stand for all: those whose places hash lowest.

    Whoever holds the same chunks gets the same, in the same order.
    """
    hashes = held.places.astype(np.uint64) * np.uint64(_ODD)
    has_frames = held.n_frames > 0
    order = np.argsort(np.where(has_frames, hashes, np.uint64(2**64 - 1)), kind="stable")
    return held.places[order[: min(SAMPLE_CHUNKS, int(has_frames.sum()))]]
