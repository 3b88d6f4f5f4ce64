"""Actors that pass the camera: people, vehicles, dogs; and bags that are left behind."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from engine.synthetic.canvas import Canvas, Real, Tone
from engine.synthetic.palette import COLOURS
from engine.synthetic.scene import INDOOR_PLACES, ROAD_PLACES

KINDS: Final = ("person", "car", "truck", "bus", "bicycle", "dog", "bag")
DIRECTIONS: Final = ("left", "right")

_GLASS = (150, 190, 214)
_TYRE = (28, 28, 30)
_SKIN = (220, 172, 138)
_TROUSERS = (58, 62, 78)


def kinds_at(place: str) -> tuple[str, ...]:
    """Return the kinds that may pass here: no vehicles indoors, nor on the grass."""
    if place in INDOOR_PLACES:
        return ("person", "dog", "bag")
    if place in ROAD_PLACES:
        return KINDS
    return ("person", "bicycle", "dog", "bag")


def draw_actor(
    canvas: Canvas, kind: str, colour: str, x: Real, ground_y: Real, facing: int, stride: Real
) -> None:
    """Draw one actor.

    Args:
        canvas: Where; dimmed at night.
        kind: One of `KINDS`.
        colour: Of the clothes or the body; a dog has none and ignores it.
        x: Middle, as a fraction of the width.
        ground_y: Where it stands, as a fraction of the height.
        facing: -1 to the left, 1 to the right.
        stride: Phase of the gait in turns; wheels and standing things ignore it.
    """
    canvas.oval(x, ground_y, _HALF_WIDTH[kind] * 1.05, 0.018, (58, 58, 60))
    _DRAWERS[kind](_Pen(canvas, x, ground_y, facing), np.array(COLOURS[colour], float), stride)


def half_width(kind: str) -> float:
    """Return half of an actor's width, as a fraction of the frame's."""
    return _HALF_WIDTH[kind]


class _Pen:
    """Drawing relative to an actor's feet: x forward, y up, both in frame fractions."""

    def __init__(self, canvas: Canvas, x: Real, ground_y: Real, facing: int) -> None:
        self._canvas, self._x, self._y, self._facing = canvas, x, ground_y, facing

    def fill(self, points: Sequence[tuple[Real, Real]], colour: Tone) -> None:
        self._canvas.fill(self._place(points), colour)

    def line(self, points: Sequence[tuple[Real, Real]], colour: Tone, thick: Real) -> None:
        self._canvas.line(self._place(points), colour, thick)

    def box(self, x0: Real, y0: Real, x1: Real, y1: Real,
            colour: Tone) -> None:  # fmt: skip
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def disc(self, x: Real, y: Real, radius_y: Real,
             colour: Tone) -> None:  # fmt: skip
        self._canvas.disc(
            self._x + self._facing * x, self._y - y, radius_y, colour
        )  # fmt: skip

    def _place(self, points: Sequence[tuple[Real, Real]]) -> Sequence[tuple[Real, Real]]:
        return [(self._x + self._facing * x, self._y - y) for x, y in points]


def _draw_person(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    swing = 0.035 * np.sin(2 * np.pi * stride)
    for step in (swing, -swing):
        pen.line([(0.0, 0.24), (step, 0.01)], _TROUSERS, 0.05)
    pen.fill([(-0.042, 0.22), (0.042, 0.22), (0.05, 0.43), (-0.05, 0.43)], colour)
    pen.line([(0.0, 0.4), (0.05 - swing, 0.25)], tuple(colour * 0.8), 0.035)
    pen.disc(0.004, 0.495, 0.06, _SKIN)
    pen.fill([(-0.034, 0.5), (0.02, 0.53), (0.012, 0.56), (-0.025, 0.555)], (70, 50, 40))


def _draw_car(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    pen.fill([(-0.19, 0.06), (0.19, 0.06), (0.19, 0.14), (0.1, 0.17), (0.05, 0.27), (-0.1, 0.27),
              (-0.15, 0.17), (-0.19, 0.16)], colour)  # fmt: skip
    pen.fill([(-0.09, 0.245), (0.04, 0.245), (0.078, 0.175), (-0.125, 0.175)], _GLASS)
    pen.box(-0.025, 0.175, -0.012, 0.25, colour)
    pen.box(0.175, 0.11, 0.192, 0.145, (255, 240, 170))
    pen.box(-0.192, 0.11, -0.18, 0.15, (150, 20, 24))
    _draw_wheels(pen, (-0.115, 0.115), 0.065)


def _draw_truck(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    pen.box(-0.24, 0.09, 0.09, 0.42, colour)
    pen.box(-0.24, 0.2, 0.09, 0.22, colour * 0.7)
    pen.fill([(0.1, 0.07), (0.24, 0.07), (0.24, 0.2), (0.2, 0.33), (0.1, 0.33)], colour * 0.72)
    pen.fill([(0.14, 0.21), (0.222, 0.21), (0.19, 0.31), (0.14, 0.31)], _GLASS)
    pen.box(0.228, 0.1, 0.244, 0.13, (255, 240, 170))
    _draw_wheels(pen, (-0.17, -0.06, 0.17), 0.07)


def _draw_bus(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    pen.box(-0.26, 0.08, 0.26, 0.42, colour)
    for x in np.arange(-0.24, 0.17, 0.085):
        pen.box(x, 0.25, x + 0.066, 0.37, _GLASS)
    pen.box(0.195, 0.13, 0.25, 0.37, _GLASS)
    pen.box(-0.26, 0.155, 0.18, 0.175, colour * 0.65)
    pen.box(0.248, 0.1, 0.264, 0.13, (255, 240, 170))
    _draw_wheels(pen, (-0.16, 0.15), 0.07)


def _draw_bicycle(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    for x in (-0.07, 0.07):
        turn = np.linspace(0, 2 * np.pi, 20)
        ring = [(x + 0.05 * np.cos(a), 0.09 + 0.088 * np.sin(a)) for a in turn]
        pen.line(ring, _TYRE, 0.014)
    paint = tuple(colour)
    pen.line([(-0.07, 0.09), (-0.025, 0.2), (0.05, 0.2), (0.0, 0.09), (-0.025, 0.2)], paint, 0.035)
    pen.line([(0.07, 0.09), (0.05, 0.2), (0.045, 0.25)], paint, 0.035)
    knee = 0.02 * np.sin(2 * np.pi * stride)
    pen.line([(-0.03, 0.24), (0.022, 0.2 + knee), (0.0, 0.08)], _TROUSERS, 0.04)
    pen.fill([(-0.045, 0.23), (-0.005, 0.23), (0.035, 0.38), (0.0, 0.4)], (150, 152, 158))
    pen.line([(0.02, 0.36), (0.05, 0.26)], _SKIN, 0.025)
    pen.disc(0.035, 0.45, 0.05, _SKIN)


def _draw_dog(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    fur = (122, 84, 52)
    swing = 0.03 * np.sin(2 * np.pi * stride)
    for x, step in ((-0.06, swing), (-0.045, -swing), (0.05, swing), (0.065, -swing)):
        pen.line([(x, 0.1), (x + step, 0.0)], (104, 70, 42), 0.03)
    pen.fill([(-0.08, 0.08), (0.075, 0.08), (0.085, 0.165), (-0.08, 0.155)], fur)
    pen.fill([(0.06, 0.13), (0.13, 0.16), (0.125, 0.19), (0.095, 0.225), (0.06, 0.2)], fur)
    pen.fill([(0.07, 0.2), (0.085, 0.25), (0.095, 0.2)], (84, 56, 34))
    pen.line([(-0.075, 0.145), (-0.12, 0.22)], fur, 0.026)


def _draw_bag(pen: _Pen, colour: np.ndarray, stride: Real) -> None:
    pen.line([(-0.03, 0.18), (-0.03, 0.25), (0.03, 0.25), (0.03, 0.18)], (60, 60, 64), 0.02)
    pen.box(-0.075, 0.0, 0.075, 0.19, colour)
    pen.box(-0.075, 0.09, 0.075, 0.105, colour * 0.6)
    pen.box(-0.012, 0.075, 0.012, 0.12, (214, 200, 120))


def _draw_wheels(pen: _Pen, places: tuple[Real, ...], radius: Real) -> None:
    for x in places:
        pen.disc(x, radius, radius, _TYRE)
        pen.disc(x, radius, radius * 0.45, (150, 150, 154))


_HALF_WIDTH: Mapping[str, float] = MappingProxyType(
    {
        "person": 0.06,
        "car": 0.19,
        "truck": 0.24,
        "bus": 0.26,
        "bicycle": 0.12,
        "dog": 0.12,
        "bag": 0.075,
    }
)
_DRAWERS: Mapping[str, Callable[[_Pen, np.ndarray, float], None]] = MappingProxyType(
    {
        "person": _draw_person,
        "car": _draw_car,
        "truck": _draw_truck,
        "bus": _draw_bus,
        "bicycle": _draw_bicycle,
        "dog": _draw_dog,
        "bag": _draw_bag,
    }
)
