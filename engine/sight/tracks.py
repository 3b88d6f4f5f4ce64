"""Detections joined into tracks: one thing from entering to leaving, over gaps of the detector."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.records import Box, Observation, ObservationKind, TimeSpan, VideoId
from engine.sight.detector import Detection

MAX_GAP_S: Final = 2.0
"""Longest time unseen within one track: of six true visits at a table all stay whole with it."""
MIN_IOU: Final = 0.2
"""Overlap of one thing in two frames; at one frame a second a walker shares little with itself."""
MAX_STEP: Final = 1.0
"""Farthest way between two frames, in sizes of the larger box, for what does not overlap."""
MAX_BOXES: Final = 32
"""Places of a track that are kept: a still view needs one, a way a few."""
_SAME_PLACE_IOU: Final = 0.8
"""Overlap from which two boxes are one thing, whatever they are called: a rider and a horse share
less."""
_SAME_KIND_IOU: Final = 0.6
"""The same for labels that are taken for each other."""
_INSIDE: Final = 0.9
"""Share of a box within another of its label above which it is the same thing twice."""
_MIN_WAY: Final = 0.12
"""Way of a centre, as a share of the picture, that counts as going somewhere."""
_EDGE: Final = 0.01
_MIN_GROWTH: Final = 1.6
"""Ratio of areas from which a thing comes nearer or goes away."""

# Labels that a detector takes for each other from one frame to the next.
_GROUPS: Final = (
    frozenset({"car", "truck", "bus", "train"}),
    frozenset({"bicycle", "motorcycle"}),
    frozenset({"cat", "dog", "horse", "sheep", "cow", "bear", "zebra", "giraffe", "elephant"}),
    frozenset({"chair", "couch", "bench"}),
    frozenset({"cup", "bottle", "wine glass", "vase", "bowl"}),
)


@dataclass(slots=True, kw_only=True)
class _Track:
    number: int
    first_s: float
    last: Detection
    last_s: float
    peak_s: float
    confidence: float
    boxes: list[Box]
    labels: dict[str, float] = field(default_factory=dict)
    """Sum of confidences by label."""
    colours: dict[str, float] = field(default_factory=dict)
    n_seen: int = 0
    n_looked: int = 0
    unseen_since_s: float | None = None
    n_unseen: int = 0
    stride: int = 1
    """Every how many sightings a box is kept."""

    @property
    def label(self) -> str:
        return max(self.labels, key=lambda label: self.labels[label])


class Tracker:
    """Open tracks of one video; feed it frames in time order."""

    def __init__(
        self,
        video: VideoId,
        kind: ObservationKind,
        model: str,
        *,
        max_gap_s: float = MAX_GAP_S,
        after_s: float = 0.0,
        before: Sequence[Observation] = (),
    ) -> None:
        """Begin without tracks, or go on with those that were open.

        Args:
            max_gap_s: Time unseen after which a track has ended.
            after_s: The end of what was looked at before.
            before: Every row that was stated before; new tracks are numbered behind them.
        """
        self._video, self._kind, self._model = video, kind, model
        self._max_gap_s = max_gap_s
        self._open = [
            _reopened(row) for row in before if row.boxes and row.span.end_s >= after_s - max_gap_s
        ]
        self._next = 1 + max((row.track or 0 for row in before), default=0)

    def add(
        self,
        time_s: float,
        detections: Iterable[Detection],
        colours: Sequence[Sequence[str]] | None = None,
    ) -> tuple[Observation, ...]:
        """Take the detections of a frame; return the tracks that have ended before it.

        Args:
            detections: The surest first, without duplicates (`distinct`).
            colours: Names of colours for each of them.
        """
        detected = list(detections)
        pairs = _matched(self._open, detected)
        for idx, detection in enumerate(detected):
            track = pairs.get(idx)
            if track is None:
                track = self._new(time_s, detection)
            _see(track, time_s, detection, () if colours is None else colours[idx])
        ended = []
        for track in [track for track in self._open if track.last_s < time_s]:
            track.n_unseen += 1
            if track.unseen_since_s is None:
                track.unseen_since_s = time_s
            if time_s - track.unseen_since_s >= self._max_gap_s:
                self._open.remove(track)
                ended.append(self._row(track, track.unseen_since_s))
        return tuple(ended)

    def rows(self, end_s: float) -> tuple[Observation, ...]:
        """Return the open tracks as they stand at a time."""
        return tuple(
            self._row(track, end_s if track.unseen_since_s is None else track.unseen_since_s)
            for track in self._open
        )

    def _new(self, time_s: float, detection: Detection) -> _Track:
        track = _Track(
            number=self._next,
            first_s=time_s,
            last=detection,
            last_s=time_s,
            peak_s=time_s,
            confidence=0.0,
            boxes=[],
        )
        self._next += 1
        self._open.append(track)
        return track

    def _row(self, track: _Track, end_s: float) -> Observation:
        boxes = tuple(track.boxes)
        return Observation(
            video=self._video,
            kind=self._kind,
            span=TimeSpan(start_s=track.first_s, end_s=max(end_s, track.last_s)),
            label=track.label,
            text="",
            confidence=track.confidence,
            model=self._model,
            peak_s=track.peak_s,
            track=track.number,
            boxes=boxes,
            colours=_common(track.colours, track.n_seen),
            heading=heading_of(boxes),
            n_seen=track.n_seen,
            n_looked=track.n_looked,
        )


def distinct(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Return detections without those that show a thing twice, the surest first.

    A box in the place of a surer one, of whatever label, is the same thing; so is a box that lies
    within a surer one of its label.
    """
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda detection: -detection.confidence):
        if not any(_is_same_thing(detection, other) for other in kept):
            kept.append(detection)
    return tuple(kept)


def heading_of(boxes: Sequence[Box]) -> str:
    """Return the way a track went in the picture; empty where it stayed or came back.

    Sideways before up and down before nearer and farther: whoever walks past a camera also grows.
    """
    if len(boxes) < 2:
        return ""
    first, last = boxes[0], boxes[-1]
    across = (last.left + last.right - first.left - first.right) / 2
    down = (last.top + last.bottom - first.top - first.bottom) / 2
    growth = _area(last) / max(_area(first), 1e-6)
    if abs(across) >= max(_MIN_WAY, abs(down)):
        return "right" if across > 0 else "left"
    # A thing on the ground that grows comes nearer, whatever its centre does; one that the edge of
    # the picture cuts grows and shrinks by that alone.
    if growth >= _MIN_GROWTH and not _is_cut(first):
        return "nearer"
    if growth <= 1 / _MIN_GROWTH and not _is_cut(last):
        return "farther"
    if abs(down) >= _MIN_WAY:
        return "down" if down > 0 else "up"
    return ""


def _is_cut(box: Box) -> bool:
    return min(box.left, box.top, 1 - box.right, 1 - box.bottom) < _EDGE


def _matched(tracks: Sequence[_Track], detections: Sequence[Detection]) -> dict[int, _Track]:
    """Return the track of each detection that has one, the nearest pairs first."""
    near = [
        (nearness, -track.number, idx, track)
        for track in tracks
        for idx, detection in enumerate(detections)
        if (nearness := _nearness(track, detection)) is not None
    ]
    pairs: dict[int, _Track] = {}
    taken: set[int] = set()
    for _, _, idx, track in sorted(near, key=lambda pair: pair[:3], reverse=True):
        if idx not in pairs and track.number not in taken:
            pairs[idx] = track
            taken.add(track.number)
    return pairs


def _nearness(track: _Track, detection: Detection) -> float | None:
    """Return how well a detection goes on with a track, in (-MAX_STEP, 1]; `None` if not at all."""
    if not _are_alike(track.label, detection.label):
        return None
    iou = _iou(track.last, detection)
    if iou >= MIN_IOU:
        return iou
    if detection.label != track.label:
        return None
    size = max(
        *(side for box in (track.last, detection) for side in _sides(box)),
    )
    way = sum((a - b) ** 2 for a, b in zip(_centre(track.last), _centre(detection), strict=True))
    step = way**0.5 / size
    return -step if step <= MAX_STEP else None


def _is_same_thing(detection: Detection, surer: Detection) -> bool:
    if detection.label == surer.label and _share_within(detection, surer) > _INSIDE:
        return True
    is_like = _are_alike(detection.label, surer.label)
    return _iou(detection, surer) > (_SAME_KIND_IOU if is_like else _SAME_PLACE_IOU)


def _are_alike(label: str, other: str) -> bool:
    return label == other or any(label in group and other in group for group in _GROUPS)


def _see(track: _Track, time_s: float, detection: Detection, colours: Sequence[str]) -> None:
    track.n_looked += track.n_unseen + 1
    track.n_unseen, track.unseen_since_s = 0, None
    track.n_seen += 1
    track.last, track.last_s = detection, time_s
    confidence = detection.confidence
    track.labels[detection.label] = track.labels.get(detection.label, 0.0) + confidence
    if confidence > track.confidence:
        track.confidence, track.peak_s = confidence, time_s
    for colour in colours:
        track.colours[colour] = track.colours.get(colour, 0.0) + 1.0
    box = Box(
        time_s=time_s,
        left=detection.left,
        top=detection.top,
        right=detection.right,
        bottom=detection.bottom,
    )
    # The last place is always there; those before it thin out as the track grows.
    if len(track.boxes) > 1 and (track.n_seen - 2) % track.stride:
        track.boxes[-1] = box
    else:
        track.boxes.append(box)
    if len(track.boxes) > MAX_BOXES:
        track.boxes = [*track.boxes[:-1:2], track.boxes[-1]]
        track.stride *= 2


def _reopened(row: Observation) -> _Track:
    """Return the track of a row that was written before; votes are those that it states."""
    assert row.track is not None
    last = row.boxes[-1]
    return _Track(
        number=row.track,
        first_s=row.span.start_s,
        last=Detection(
            label=row.label,
            confidence=row.confidence,
            left=last.left,
            top=last.top,
            right=last.right,
            bottom=last.bottom,
        ),
        last_s=last.time_s,
        peak_s=row.peak_s,
        confidence=row.confidence,
        boxes=[*row.boxes],
        labels={row.label: row.confidence * row.n_seen},
        colours={colour: float(row.n_seen) for colour in row.colours},
        n_seen=row.n_seen,
        n_looked=row.n_looked,
        unseen_since_s=row.span.end_s if row.span.end_s > last.time_s else None,
        stride=max(1, row.n_seen // MAX_BOXES),
    )


def _common(colours: dict[str, float], n_seen: int) -> tuple[str, ...]:
    """Return the colours that at least a third of the sightings show, the most common first."""
    often = [(-n, colour) for colour, n in colours.items() if n >= max(1.0, n_seen / 3)]
    return tuple(colour for _, colour in sorted(often))[:2]


def _sides(box: Detection) -> tuple[float, float]:
    return box.right - box.left, box.bottom - box.top


def _centre(box: Detection) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _area(box: Detection | Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _shared(box: Detection, other: Detection) -> float:
    width = min(box.right, other.right) - max(box.left, other.left)
    height = min(box.bottom, other.bottom) - max(box.top, other.top)
    return max(0.0, width) * max(0.0, height)


def _iou(box: Detection, other: Detection) -> float:
    shared = _shared(box, other)
    return shared / max(_area(box) + _area(other) - shared, 1e-9)


def _share_within(box: Detection, other: Detection) -> float:
    """Return the share of the first box that lies within the second."""
    return _shared(box, other) / max(_area(box), 1e-9)
