"""Tracks: one thing is one row from entering to leaving."""

import pytest

from engine.records import Box, Observation
from engine.sight.detector import Detection
from engine.sight.tracks import MAX_BOXES, Tracker, distinct, heading_of
from tests.support.footage import VIDEO


def thing(
    left: float, *, label: str = "person", confidence: float = 0.5, width: float = 0.2
) -> Detection:
    return Detection(
        label=label, confidence=confidence, left=left, top=0.2, right=left + width, bottom=0.8
    )


def track(frames: dict[float, list[Detection]], end_s: float) -> list[Observation]:
    tracker = Tracker(VIDEO, "object", "test")
    rows: list[Observation] = []
    for time_s, detections in frames.items():
        rows += tracker.add(time_s, detections)
    return sorted([*rows, *tracker.rows(end_s)], key=lambda row: row.span.start_s)


def spans(rows: list[Observation]) -> list[tuple[float, float]]:
    return [(row.span.start_s, row.span.end_s) for row in rows]


def seconds(shown: str) -> dict[float, list[Detection]]:
    """Frames a second apart; an `x` shows somebody."""
    return {float(idx): [thing(0.4)] if mark == "x" else [] for idx, mark in enumerate(shown)}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("xxxx", [(0.0, 4.0)]),
        ("..xx...", [(2.0, 4.0)]),
        ("xx.xx", [(0.0, 5.0)]),
        ("xx..xx", [(0.0, 6.0)]),
        ("xx...xx", [(0.0, 2.0), (5.0, 7.0)]),
    ],
)
def test_gaps_of_two_seconds_are_closed(shown: str, expected: list[tuple[float, float]]) -> None:
    assert spans(track(seconds(shown), float(len(shown)))) == expected


def test_static_stretches_are_no_gaps() -> None:
    # A frame stands until the next: 30 s without one means that nothing changed.
    (row,) = track({0.0: [thing(0.4)], 30.0: [thing(0.4)], 31.0: []}, 40.0)
    assert (row.span.start_s, row.span.end_s) == (0.0, 31.0)


def test_row_tells_how_often_the_thing_was_seen() -> None:
    (row,) = track(seconds("x.xx..x"), 7.0)
    assert (row.n_seen, row.n_looked) == (4, 7)


def test_two_at_once_are_two_and_keep_their_numbers() -> None:
    frames = {float(idx): [thing(0.1 + 0.05 * idx), thing(0.7, confidence=0.9)] for idx in range(4)}
    rows = track(frames, 4.0)
    assert spans(rows) == [(0.0, 4.0), (0.0, 4.0)]
    walker = next(row for row in rows if row.boxes[0].left == pytest.approx(0.1))
    assert walker.boxes[-1].left == pytest.approx(0.25)
    assert walker.heading == "right"


def test_who_crosses_the_picture_is_one_without_overlap() -> None:
    rows = track({float(idx): [thing(0.25 * idx, width=0.15)] for idx in range(4)}, 4.0)
    assert len(rows) == 1


def test_a_jump_across_the_picture_is_somebody_else() -> None:
    rows = track({0.0: [thing(0.0, width=0.1)], 1.0: [thing(0.9, width=0.1)]}, 2.0)
    assert len(rows) == 2


def test_label_that_flips_is_one_thing_by_its_surer_name() -> None:
    frames = {
        0.0: [thing(0.4, label="car", confidence=0.4)],
        1.0: [thing(0.4, label="truck", confidence=0.9)],
        2.0: [thing(0.4, label="car", confidence=0.3)],
    }
    (row,) = track(frames, 3.0)
    assert (row.label, row.confidence, row.peak_s) == ("truck", 0.9, 1.0)


def test_person_and_dog_in_one_place_stay_two() -> None:
    rows = track({t: [thing(0.4), thing(0.4, label="dog")] for t in (0.0, 1.0)}, 2.0)
    assert sorted(row.label for row in rows) == ["dog", "person"]


def test_places_of_a_long_track_thin_out_and_keep_first_and_last() -> None:
    frames = {float(t): [thing(0.4 + t * 1e-4)] for t in range(1000)}
    (row,) = track(frames, 1000.0)
    assert MAX_BOXES / 2 <= len(row.boxes) <= MAX_BOXES
    assert (row.boxes[0].time_s, row.boxes[-1].time_s) == (0.0, 999.0)
    steps = [b.time_s - a.time_s for a, b in zip(row.boxes, row.boxes[1:-1], strict=False)]
    assert max(steps) <= 2 * min(steps)


def test_tracks_go_on_where_they_were_written_down() -> None:
    frames = seconds("xx.x..x...xx")
    whole = track(frames, 12.0)
    tracker = Tracker(VIDEO, "object", "test")
    rows = {}
    for time_s in list(frames)[:6]:
        rows.update({row.track: row for row in tracker.add(time_s, frames[time_s])})
    rows.update({row.track: row for row in tracker.rows(6.0)})
    tracker = Tracker(VIDEO, "object", "test", after_s=6.0, before=[*rows.values()])
    for time_s in list(frames)[6:]:
        rows.update({row.track: row for row in tracker.add(time_s, frames[time_s])})
    rows.update({row.track: row for row in tracker.rows(12.0)})
    assert [(row.track, row.span) for row in rows.values()] == [
        (row.track, row.span) for row in whole
    ]


def test_one_thing_is_not_named_twice() -> None:
    dog, bear = thing(0.4, label="dog", confidence=0.4), thing(0.41, label="bear", confidence=0.3)
    half = thing(0.45, confidence=0.6, width=0.1)
    man = thing(0.4, confidence=0.9)
    rider = thing(0.4, label="horse", confidence=0.8, width=0.3)
    assert distinct([bear, dog]) == (dog,)
    assert distinct([half, man]) == (man,)
    assert distinct([man, rider]) == (man, rider)


@pytest.mark.parametrize(
    ("first", "last", "heading"),
    [
        ((0.1, 0.4, 0.2, 0.6), (0.7, 0.4, 0.8, 0.6), "right"),
        ((0.7, 0.4, 0.8, 0.6), (0.1, 0.4, 0.2, 0.6), "left"),
        ((0.4, 0.7, 0.5, 0.8), (0.4, 0.1, 0.5, 0.2), "up"),
        ((0.4, 0.1, 0.5, 0.2), (0.4, 0.7, 0.5, 0.8), "down"),
        ((0.4, 0.4, 0.5, 0.5), (0.3, 0.3, 0.6, 0.7), "nearer"),
        ((0.3, 0.3, 0.6, 0.7), (0.4, 0.4, 0.5, 0.5), "farther"),
        ((0.4, 0.4, 0.5, 0.5), (0.42, 0.42, 0.52, 0.52), ""),
    ],
)
def test_heading_is_the_way_in_the_picture(
    first: tuple[float, ...], last: tuple[float, ...], heading: str
) -> None:
    boxes = [
        Box(time_s=time_s, left=box[0], top=box[1], right=box[2], bottom=box[3])
        for time_s, box in ((0.0, first), (4.0, last))
    ]
    assert heading_of(boxes) == heading
    assert heading_of(boxes[:1]) == ""
