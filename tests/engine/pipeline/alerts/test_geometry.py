"""Zones and lines: what is inside, what crosses, and which way."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Point as ShapelyPoint
from shapely import Polygon

from engine.pipeline.alerts.geometry import Line, Point, Zone, foot, time_crossed, time_inside
from engine.records import Box
from tests.support.observations import track

DOOR = Zone((Point(0.4, 0.2), Point(0.8, 0.2), Point(0.8, 0.9), Point(0.4, 0.9)))
shares = st.floats(min_value=0, max_value=1).map(lambda value: round(value, 3))
points = st.tuples(shares, shares).map(lambda pair: Point(*pair))


@given(place=points, corners=st.lists(points, min_size=3, max_size=8, unique=True))
def test_inside_is_what_another_library_says(place: Point, corners: list[Point]) -> None:
    polygon = Polygon([(corner.x, corner.y) for corner in corners])
    at = ShapelyPoint(place.x, place.y)
    # On the edge either answer is right, and of a polygon that crosses itself only one is said.
    if not polygon.is_valid or polygon.boundary.distance(at) < 1e-6 or polygon.area < 1e-3:
        return
    assert Zone(tuple(corners)).holds(place) == polygon.contains(at)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([(0.1, 0.1), (0.9, 0.9)], "3 to 32 corners"),
        ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], "in a line"),
    ],
)
def test_zone_that_holds_nothing_is_refused(corners: list[tuple[float, float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Zone(tuple(Point(*corner) for corner in corners))
    with pytest.raises(ValueError, match="two shares"):
        Point(0.5, 1.2)


def test_thing_stands_where_its_box_ends_below() -> None:
    assert foot(Box(time_s=0.0, left=0.25, top=0.1, right=0.5, bottom=0.7)) == Point(0.375, 0.7)


def test_track_is_inside_from_its_first_to_its_last_box_there() -> None:
    # Its feet are at 0.75 of the height, its middle goes from 0.1 to 0.9 in ten seconds.
    walker = track("person", 0, 10, x=(0.1, 0.9))
    span = time_inside(DOOR, walker.boxes, 10.0)
    assert span is not None
    assert (span.start_s, span.end_s) == (4.0, 9.0)
    assert time_inside(DOOR, track("person", 0, 5, x=(0.1, 0.2)).boxes, 5.0) is None


def test_track_that_is_still_inside_stays_until_its_end() -> None:
    waiting = track("person", 0, 4, x=(0.5, 0.5))
    span = time_inside(DOOR, waiting.boxes, 7.5)
    assert span is not None
    assert span.end_s == 7.5


@pytest.mark.parametrize(
    ("direction", "walk", "crosses"),
    [
        ("any", (0.1, 0.9), True),
        ("right", (0.1, 0.9), True),
        ("left", (0.1, 0.9), False),
        ("left", (0.9, 0.1), True),
        ("any", (0.1, 0.4), False),
    ],
)
def test_line_is_crossed_the_right_way(
    direction: str, walk: tuple[float, float], crosses: bool
) -> None:
    line = Line(Point(0.5, 0.0), Point(0.5, 1.0), direction)  # type: ignore[arg-type]
    at_s = time_crossed(line, track("person", 0, 8, x=walk).boxes)
    assert (at_s is not None) == crosses
    if at_s is not None:
        assert at_s == pytest.approx(4.0)


def test_line_that_is_too_short_for_the_way_is_not_crossed() -> None:
    line = Line(Point(0.5, 0.0), Point(0.5, 0.3))
    assert time_crossed(line, track("person", 0, 8, x=(0.1, 0.9)).boxes) is None


def test_box_upon_the_line_crosses_it_once() -> None:
    line = Line(Point(0.5, 0.0), Point(0.5, 1.0))
    # Eight steps, the fourth of which ends upon the line.
    boxes = track("person", 0, 8, x=(0.1, 0.9)).boxes
    crossings = [line.crossed(foot(before), foot(after)) for before, after in pairwise(boxes)]
    assert sum(share is not None for share in crossings) == 1
