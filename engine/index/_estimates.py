"""Statistics of a query's scores without a look at every frame: from sums, and from a sample.

The mean of a video is that of the sum of its vectors, exactly. The deviation within videos is that
of one frame of each of some thousand chunks, one for all videos.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from engine.index._places import Held, deviation_sample
from engine.records import ScoreStats
from engine.vector_rows import Spans, TableChanges, VectorTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """What is multiplied with a query, for one state of the table."""

    held: Held
    numbers: Int64[np.ndarray, " video"]
    n_frames: Int64[np.ndarray, " video"]
    totals: Float32[np.ndarray, "video dim"]
    sample: Float32[np.ndarray, "sampled dim"]
    of_video: Int64[np.ndarray, " sampled"]
    """Index of each sampled frame's video."""


class ScoreEstimates:
    """Sums of videos and sampled frames, read when they are needed; held by one lock's owner."""

    def __init__(self, table: VectorTable) -> None:
        self._table = table
        self._sums: dict[int, tuple[int, Float32[np.ndarray, " dim"]]] = {}
        self._samples: dict[int, Float32[np.ndarray, " dim"]] = {}
        self._columns: _Columns | None = None

    def forget(self, changes: TableChanges) -> None:
        """Have read again what has changed."""
        if changes.is_whole:
            self._sums.clear()
            self._samples.clear()
        for video in changes.videos:
            self._sums.pop(video.number, None)
        for place in changes.places.tolist():
            self._samples.pop(place, None)

    def stats(
        self, held: Held, query: Float32[np.ndarray, " dim"], spans: Spans | None
    ) -> tuple[ScoreStats, ...]:
        """Return the statistics of the videos of spans: of each whole video."""
        columns = self._columns
        if columns is None or columns.held is not held:
            columns = self._columns = self._read(held)
        means = (columns.totals @ query) / columns.n_frames
        apart = (columns.sample @ query).astype(np.float64) - means[columns.of_video]
        std = float(np.sqrt(np.square(apart).mean()))
        within = np.isin(columns.numbers, held.numbers_within(spans))
        return tuple(
            ScoreStats(video=held.videos[number], n_frames=n_frames, mean=mean, std=std)
            for number, n_frames, mean in zip(
                columns.numbers[within].tolist(),
                columns.n_frames[within].tolist(),
                means[within].tolist(),
                strict=True,
            )
        )

    def _read(self, held: Held) -> _Columns:
        missing = [number for number in held.videos if number not in self._sums]
        if missing:
            self._sums.update(self._table.totals(missing))
        places = deviation_sample(held)
        unread = np.array([at for at in places.tolist() if at not in self._samples], np.int64)
        if len(unread):
            middle = held.n_frames[np.searchsorted(held.places, unread)] // 2
            rows = self._table.frames(unread, middle)
            self._samples.update(zip(rows.places.tolist(), rows.values, strict=True))
        # What others removed since the list of chunks was read has neither.
        numbers = [number for number in held.videos if number in self._sums]
        at_of = {number: at for at, number in enumerate(numbers)}
        sampled = [
            place
            for place in places.tolist()
            if place in self._samples and held.number_of(place) in at_of
        ]
        return _Columns(
            held=held,
            numbers=np.array(numbers, np.int64),
            n_frames=np.array([self._sums[number][0] for number in numbers], np.int64),
            totals=np.stack([self._sums[number][1] for number in numbers]),
            sample=np.stack([self._samples[place] for place in sampled]),
            of_video=np.array([at_of[held.number_of(place)] for place in sampled], np.int64),
        )
