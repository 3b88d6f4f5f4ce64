"""Anti-aliased drawing in fractions of width and height, so that one layout fits every size."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike, NDArray

from engine.synthetic.palette import Rgb

_SHIFT = 4
"""Fractional bits that OpenCV keeps of a point: 1/16 pixel, so slow motion stays smooth."""

Pixels = UInt8[np.ndarray, "h w 3"]
Real = float | int
Tone = Sequence[Any] | NDArray[Any]
"""Red, green, blue in 0..255."""


class Canvas:
    """Drawing on an RGB picture, in place; points are (x, y) fractions, colours 0..255."""

    def __init__(self, pixels: Pixels, *, dim: Real = 1.0) -> None:
        self.pixels = pixels
        self.height_px, self.width_px = pixels.shape[:2]
        self._dim = dim
        """Factor on every colour: less light falls on what is drawn at night."""

    def fill(self, points: ArrayLike, colour: Tone) -> None:
        """Fill a closed polygon."""
        cv2.fillPoly(
            self.pixels, [self._fixed(points)], self._tone(colour), cv2.LINE_AA, shift=_SHIFT
        )

    def box(self, x0: Real, y0: Real, x1: Real, y1: Real, colour: Tone) -> None:
        """Fill the rectangle between two corners."""
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def disc(self, x: Real, y: Real, radius_y: Real, colour: Tone) -> None:
        """Fill a circle; the radius is a fraction of the height."""
        self.oval(x, y, radius_y * self.height_px / self.width_px, radius_y, colour)

    def oval(self, x: Real, y: Real, rx: Real, ry: Real, colour: Tone) -> None:
        """Fill an ellipse."""
        turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        self.fill(np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1), colour)

    def line(self, points: ArrayLike, colour: Tone, thick: Real) -> None:
        """Draw an open polyline; the thickness is a fraction of the height."""
        cv2.polylines(
            self.pixels,
            [self._fixed(points)],
            False,
            self._tone(colour),
            max(1, round(thick * self.height_px)),
            cv2.LINE_AA,
            shift=_SHIFT,
        )

    def slope(self, y0: Real, y1: Real, top: Rgb, bottom: Rgb) -> None:
        """Fill with a vertical colour gradient over the whole width."""
        lo, hi = round(y0 * self.height_px), round(y1 * self.height_px)
        part = np.linspace(0, 1, max(hi - lo, 1))[:, None, None]
        rows = (1 - part) * np.array(top) + part * np.array(bottom)
        self.pixels[lo:hi] = (rows * self._dim).astype(np.uint8)

    def glow(self, x: Real, y: Real, radius_y: Real, colour: Rgb, strength: Real) -> None:
        """Add light around a point, fading with the square of the distance."""
        rows, columns = np.mgrid[0 : self.height_px, 0 : self.width_px]
        radius_px = radius_y * self.height_px
        far = np.hypot(columns - x * self.width_px, rows - y * self.height_px) / radius_px
        added = strength * np.clip(1 - far, 0, 1)[..., None] ** 2 * np.array(colour)
        self.pixels[:] = np.clip(self.pixels + added, 0, 255).astype(np.uint8)

    def _fixed(self, points: ArrayLike) -> NDArray[np.int32]:
        scaled = np.asarray(points, dtype=np.float64) * (self.width_px, self.height_px)
        return np.round(scaled * (1 << _SHIFT)).astype(np.int32)

    def _tone(self, colour: Tone) -> tuple[float, ...]:
        return tuple(float(channel) * self._dim for channel in colour)
