"""Colours, shapes and digits of the drawn world: their names and what they look like."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]

COLOURS: Final[Mapping[str, Rgb]] = MappingProxyType(
    {
        "red": (214, 32, 38),
        "orange": (245, 132, 20),
        "yellow": (250, 216, 40),
        "green": (34, 150, 62),
        "blue": (32, 84, 205),
        "purple": (136, 48, 160),
        "black": (22, 22, 26),
        "white": (246, 246, 244),
    }
)
SHAPES: Final = ("circle", "square", "triangle", "star", "heart", "cross", "diamond")
N_CODES: Final = 100
"""Codes run from 00 to 99: two digits."""

_SEGMENTS: Final[Mapping[str, tuple[tuple[tuple[float, float], ...], ...]]] = MappingProxyType(
    {
        "1": (((0.25, 0.2), (0.55, 0.0), (0.55, 1.0)), ((0.25, 1.0), (0.85, 1.0))),
        "4": (((0.7, 1.0), (0.7, 0.0), (0.0, 0.68), (1.0, 0.68)),),
        "7": (((0.0, 0.0), (1.0, 0.0), (0.35, 1.0)),),
    }
)


def shape_outline(shape: str) -> NDArray[np.float64]:
    """Return the corners of a shape as `point 2` in [-1, 1], x to the right and y down."""
    if shape == "circle":
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if shape == "heart":
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        x = np.sin(turn) ** 3
        y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
        return np.stack([x, -y / 15.0 - 0.12], axis=1)
    if shape == "star":
        turn = -np.pi / 2 + np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.05, 0.44)
        return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    if shape == "cross":
        a, b = 0.95, 0.34
        return np.array(
            [
                *((-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b)),
                *((b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)),
            ]
        )
    corners = {
        "square": [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
        "triangle": [(0.0, -1.0), (1.0, 0.85), (-1.0, 0.85)],
        "diamond": [(0.0, -1.05), (0.72, 0.0), (0.0, 1.05), (-0.72, 0.0)],
    }
    if shape not in corners:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, not {shape!r}")
    return np.array(corners[shape])


def digit_strokes(digit: str) -> tuple[NDArray[np.float64], ...]:
    """Return a digit as polylines of `point 2` in the unit square, y down.

    Drawn by ourselves because the fonts of OpenCV differ between its releases.
    """
    if digit in _SEGMENTS:
        return tuple(np.array(line) for line in _SEGMENTS[digit])
    curves = {
        "0": [_arc(0.5, 0.5, 0.5, 0.5, 0, 360)],
        "2": [_join(_arc(0.5, 0.29, 0.46, 0.29, 180, 405), [(0.0, 1.0), (1.0, 1.0)])],
        "3": [
            _join(_arc(0.46, 0.25, 0.44, 0.25, 200, 450), _arc(0.46, 0.74, 0.52, 0.26, -90, 160))
        ],
        "5": [
            _join([(0.92, 0.0), (0.14, 0.0), (0.08, 0.46)], _arc(0.48, 0.67, 0.5, 0.33, -125, 155))
        ],
        "6": [
            _join([(0.78, 0.0)], _arc(0.62, 0.62, 0.6, 0.5, 250, 185)),
            _arc(0.5, 0.68, 0.48, 0.32, 0, 360),
        ],
        "8": [_arc(0.5, 0.25, 0.41, 0.25, 0, 360), _arc(0.5, 0.74, 0.5, 0.26, 0, 360)],
        "9": [
            _arc(0.5, 0.32, 0.48, 0.32, 0, 360),
            _join(_arc(0.38, 0.38, 0.6, 0.5, 5, 60), [(0.28, 1.0)]),
        ],
    }
    if digit not in curves:
        raise ValueError(f"digit must be one of 0 to 9, not {digit!r}")
    return tuple(curves[digit])


def _arc(
    x: float | int,
    y: float | int,
    rx: float | int,
    ry: float | int,
    start_deg: float | int,
    end_deg: float | int,
) -> NDArray[np.float64]:
    turn = np.radians(np.linspace(start_deg, end_deg, 24))
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def _join(*parts: object) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
