"""Zones and lines on the picture, in shares of its width and height from the upper left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from engine.records import Box, TimeSpan

Direction = Literal["any", "left", "right", "up", "down"]
"""The way over a line, as it looks on the picture."""
_TOWARD: Final[dict[Direction, tuple[float, float]]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
}
MOST_CORNERS: Final = 32
_LEAST_AREA: Final = 1e-4
_LEAST_LENGTH: Final = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the picture."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise ValueError(f"a place is two shares in 0..1, not {self.x:g},{self.y:g}")


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon on the picture; its last corner is joined to the first."""

    corners: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not 3 <= len(self.corners) <= MOST_CORNERS:
            raise ValueError(f"a zone has 3 to {MOST_CORNERS} corners, not {len(self.corners)}")
        if self.area < _LEAST_AREA:
            raise ValueError("a zone holds some of the picture: its corners lie in a line")

    @property
    def area(self) -> float:
        """Share of the picture that it holds; of one that crosses itself, less."""
        return abs(sum(a.x * b.y - b.x * a.y for a, b in self._sides())) / 2

    def holds(self, place: Point) -> bool:
        """Return whether a place lies inside, by the even-odd rule."""
        inside = False
        for a, b in self._sides():
            if (a.y > place.y) != (b.y > place.y):
                at_x = a.x + (place.y - a.y) / (b.y - a.y) * (b.x - a.x)
                inside ^= place.x < at_x
        return inside

    def _sides(self) -> Iterator[tuple[Point, Point]]:
        yield from zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True)


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the picture that something may cross."""

    start: Point
    end: Point
    direction: Direction = "any"

    def __post_init__(self) -> None:
        length = ((self.end.x - self.start.x) ** 2 + (self.end.y - self.start.y) ** 2) ** 0.5
        if length < _LEAST_LENGTH:
            raise ValueError("the ends of a line lie apart")

    def crossed(self, before: Point, after: Point) -> float | None:
        """Return the share of a step at which it crosses the line the right way, else `None`."""
        step_x, step_y = after.x - before.x, after.y - before.y
        line_x, line_y = self.end.x - self.start.x, self.end.y - self.start.y
        across = step_x * line_y - step_y * line_x
        if across == 0:
            return None
        off_x, off_y = self.start.x - before.x, self.start.y - before.y
        of_step = (off_x * line_y - off_y * line_x) / across
        of_line = (off_x * step_y - off_y * step_x) / across
        # Half-open: a step that ends on the line and the one that begins there cross it once.
        if not (0 <= of_step < 1 and 0 <= of_line <= 1):
            return None
        if self.direction != "any":
            toward_x, toward_y = _TOWARD[self.direction]
            if step_x * toward_x + step_y * toward_y <= 0:
                return None
        return of_step


def foot(box: Box) -> Point:
    """Return where a thing touches the ground: the middle of its box's lower side."""
    return Point(_share((box.left + box.right) / 2), _share(box.bottom))


def time_inside(zone: Zone, boxes: Sequence[Box], end_s: float) -> TimeSpan | None:
    """Return when a track is inside a zone, from its first to its last box there.

    Args:
        boxes: In time order.
        end_s: The end of the track; its last box holds until then.
    """
    inside = [idx for idx, box in enumerate(boxes) if zone.holds(foot(box))]
    if not inside:
        return None
    last = inside[-1]
    leaves_s = boxes[last + 1].time_s if last + 1 < len(boxes) else end_s
    start_s = boxes[inside[0]].time_s
    return TimeSpan(start_s=start_s, end_s=max(start_s, leaves_s))


def time_crossed(line: Line, boxes: Sequence[Box]) -> float | None:
    """Return when a track first crosses a line the right way; `None` where it does not."""
    for before, after in pairwise(boxes):
        share = line.crossed(foot(before), foot(after))
        if share is not None:
            return before.time_s + share * (after.time_s - before.time_s)
    return None


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
