"""Things and people, with the times they come and go: a detector over stills, and tracks."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8

from engine.records import Observation, ObservationKind
from engine.sight import parts
from engine.sight.colours import colours_of, is_monochrome
from engine.sight.detector import Detection
from engine.sight.detectors import ObjectDetector, open_detector
from engine.sight.observer import Footage, ObserverConfig, Step
from engine.sight.tracks import Tracker, distinct

KIND: Final[ObservationKind] = "object"

MIN_CONFIDENCE: Final = 0.3
"""Confidence of a sighting. At 0.5 a visit of 21 s at a table is cut to 2 s, at 0.3 it is whole."""
LONE_CONFIDENCE: Final = 0.5
"""Best confidence of a thing that one frame alone shows; with fewer it is left out."""
STEP_S: Final = 30.0
"""Footage between two steps: what a kill costs is to look at it again."""


class ObjectObserver:
    """Tracks of everything that the detector has a name for."""

    kind: Final = KIND

    def __init__(self, detector: ObjectDetector) -> None:
        self._detector = detector
        self.model = detector.model
        self.labels = frozenset(detector.labels)

    def observe(
        self, footage: Footage, *, after_s: float = 0.0, before: Sequence[Observation] = ()
    ) -> Iterator[Step]:
        """Look at the stills from a time on; see `Observer`."""
        tracker = Tracker(footage.video, self.kind, self.model, after_s=after_s, before=before)
        ended: list[Observation] = []
        step_end_s = after_s + STEP_S
        for still in footage.stills(after_s):
            if still.time_s >= step_end_s:
                yield Step(end_s=still.time_s, rows=_worth([*ended, *tracker.rows(still.time_s)]))
                ended, step_end_s = [], still.time_s + STEP_S
            detections = distinct(
                detection
                for detection in self._detector.detect(still.pixels)
                if detection.confidence >= MIN_CONFIDENCE
            )
            ended += tracker.add(still.time_s, detections, _colours(still.pixels, detections))
        end_s = footage.end_s
        yield Step(end_s=end_s, rows=_worth([*ended, *tracker.rows(end_s)]))


def open_observer(config: ObserverConfig) -> ObjectObserver:
    """Return the observer with the packaged detector, or the one that was chosen."""
    return ObjectObserver(open_detector(config.detector))


def require_parts() -> None:
    """Check that the packaged detector is installed."""
    parts.require(parts.DETECTOR, parts.DETECTOR_GRAPH)


def _colours(
    pixels: UInt8[np.ndarray, "h w 3"], detections: Sequence[Detection]
) -> list[tuple[str, ...]]:
    if not detections or is_monochrome(pixels):
        return [()] * len(detections)
    return [colours_of(pixels, detection) for detection in detections]


def _worth(rows: Sequence[Observation]) -> tuple[Observation, ...]:
    """Return rows without those that one unsure frame alone speaks for."""
    return tuple(row for row in rows if row.n_seen > 1 or row.confidence >= LONE_CONFIDENCE)
