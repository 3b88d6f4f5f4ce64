"""Movement in front of a still camera: the cheap cover of what a detector has no eye for.

Foreground segmentation says when and where something moved, never what. A picture that changes all
over is a cut, a camera that moves, or a light switched on; nothing is stated of it.

Source: Zivkovic 2004, "Improved adaptive Gaussian mixture model" (OpenCV's MOG2). Settings were
set once and not tuned: two road cameras, 3 of 3 groups of vehicles each.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from engine.records import Observation, ObservationKind
from engine.sight.detector import Detection
from engine.sight.observer import Footage, ObserverConfig, Step
from engine.sight.tracks import Tracker

KIND: Final[ObservationKind] = "motion"
LABEL: Final = "movement"
FPS: Final = 5.0
SIDE_PX: Final = 320
STEP_S: Final = 30.0

_DARK: Final = 64.0
"""Median grey below which a picture is brightened: nobody changes a dark one by the 15 steps that
`_THRESHOLD` asks for."""
_MOST_GAIN: Final = 4.0
"""A room with six visitors has 18 tracks by day. At 5 % of the light with a sensor's noise it has
17 so, all where somebody came or went, and 1 without; with 8 noise moves all the time."""
_HISTORY: Final = 100
_THRESHOLD: Final = 60.0
_FOREGROUND: Final = 200
"""Of a mask; a shadow would be 127."""
_MIN_AREA: Final = 350 / (320 * 180)
_MAX_AREA: Final = 20_000 / (320 * 180)
_MOST_FOREGROUND: Final = 0.35
"""Share of the picture above which the camera moves, or everything changed at once."""
_MOST_BLOBS: Final = 12
"""More at once are leaves in the wind or a shaking camera."""
_WARM_UP_S: Final = 2.0
"""Time in which the background is learned; what moves in it is not stated."""
_MAX_GAP_S: Final = 1.0
_MIN_SEEN: Final = 4
"""Frames that show it: shorter than 0.6 s is a flicker."""


class MotionObserver:
    """Tracks of whatever moves, by foreground segmentation."""

    kind: Final = KIND
    model: Final = "mog2"
    labels: Final = frozenset({LABEL})

    def observe(
        self, footage: Footage, *, after_s: float = 0.0, before: Sequence[Observation] = ()
    ) -> Iterator[Step]:
        """Look at five frames a second from a time on; see `Observer`."""
        tracker = Tracker(
            footage.video, KIND, self.model, max_gap_s=_MAX_GAP_S, after_s=after_s, before=before
        )
        background = _Background()
        ended: list[Observation] = []
        step_end_s = after_s + STEP_S
        # The background is learned anew on the way to where looking goes on.
        for frame in footage.frames(FPS, SIDE_PX, max(0.0, after_s - 2 * _WARM_UP_S)):
            blobs = background.moving(frame.time_s, frame.pixels)
            if frame.time_s < after_s:
                continue
            if frame.time_s >= step_end_s:
                rows = (*ended, *tracker.rows(frame.time_s))
                yield Step(end_s=frame.time_s, rows=_worth(rows))
                ended, step_end_s = [], frame.time_s + STEP_S
            ended += tracker.add(frame.time_s, blobs)
        end_s = footage.end_s
        yield Step(end_s=end_s, rows=_worth((*ended, *tracker.rows(end_s))))


def open_observer(config: ObserverConfig) -> MotionObserver:
    """Return the observer; it has no model and no settings."""
    return MotionObserver()


def require_parts() -> None:
    """Require nothing: OpenCV reads pictures everywhere else, too."""


class _Background:
    """What stands still, learned from the frames so far."""

    def __init__(self) -> None:
        self._model = self._new()
        self._open = np.ones((3, 3), np.uint8)
        self._join = np.ones((5, 5), np.uint8)
        self._learned_at_s: float | None = None
        self._gain = 1.0

    def moving(self, time_s: float, pixels: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Return the boxes of what moves in a frame, the largest first."""
        wanted = _gain_of(pixels)
        if self._learned_at_s is not None and not self._gain / 2 <= wanted <= self._gain * 2:
            # Dusk or dawn: what is brightened otherwise is another picture.
            self._model, self._learned_at_s = self._new(), None
        if self._learned_at_s is None:
            self._learned_at_s, self._gain = time_s + _WARM_UP_S, wanted
        mask = (
            self._model.apply(cv2.convertScaleAbs(pixels, alpha=self._gain)) > _FOREGROUND
        ).astype(np.uint8)
        mask = cv2.dilate(cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._open), self._join)
        if time_s < self._learned_at_s:
            return []
        if mask.mean() > _MOST_FOREGROUND:
            # Another view, or another light: what stands still has to be learned again.
            self._model, self._learned_at_s = self._new(), None
            return []
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        height, width = mask.shape
        # The first is the background. By area, so that the small ones end the list.
        areas = sorted(((int(row[cv2.CC_STAT_AREA]), row) for row in stats[1:]), key=_area)
        big = [*takewhile(lambda pair: pair[0] >= _MIN_AREA * height * width, areas)]
        if len(big) > _MOST_BLOBS:
            return []
        return [
            Detection(
                label=LABEL,
                confidence=min(1.0, area / max(1, int(row[2]) * int(row[3]))),
                left=float(row[0] / width),
                top=float(row[1] / height),
                right=float((row[0] + row[2]) / width),
                bottom=float((row[1] + row[3]) / height),
            )
            for area, row in big
            if area <= _MAX_AREA * height * width
        ]

    @staticmethod
    def _new() -> cv2.BackgroundSubtractorMOG2:
        return cv2.createBackgroundSubtractorMOG2(
            history=_HISTORY, varThreshold=_THRESHOLD, detectShadows=False
        )


def _gain_of(pixels: UInt8[np.ndarray, "h w 3"]) -> float:
    """Return by how much a picture has to be brightened for movement to be seen; mostly 1."""
    return min(_MOST_GAIN, max(1.0, _DARK / max(1.0, float(np.median(pixels)))))


def _area(pair: tuple[int, object]) -> int:
    return -pair[0]


def _worth(rows: Sequence[Observation]) -> tuple[Observation, ...]:
    return tuple(row for row in rows if row.n_seen >= _MIN_SEEN)
