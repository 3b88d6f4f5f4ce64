"""Names of the colours of a thing, from the pixels in the middle of its box.

Each pixel gets one of the eleven basic colour words of English (Berlin and Kay 1969) by its hue,
saturation and value. A colour counts if it covers enough of the middle, and is no more common
around the box than in it: a white van on a grey road is white, whatever the road is.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8

from engine.sight.detector import Detection

COLOURS: Final = (
    "black",
    "white",
    "grey",
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
)
_BLACK, _WHITE, _GREY, _RED, _ORANGE, _YELLOW, _GREEN, _BLUE, _PURPLE, _PINK, _BROWN = range(11)
_MIN_SHARE: Final = 0.22
"""Least part of the middle that a colour covers; windows and wheels of a car stay below it."""
_MIDDLE: Final = 0.6
"""Part of a box's width and height that surely belongs to the thing."""
_RING: Final = 0.25
"""Width of the surround, in sizes of the box."""
_MIN_SIDE_PX: Final = 6
"""A smaller middle is more compression than colour."""
_MONOCHROME: Final = 14.0
"""Mean saturation, of 255, below which footage is black and white: its greys are no colours."""


def is_monochrome(image: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Return whether an RGB picture has no colours, as of a camera by infrared light."""
    small = cv2.resize(image, (64, 36), interpolation=cv2.INTER_AREA)
    return float(cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1].mean()) < _MONOCHROME


def colours_of(image: UInt8[np.ndarray, "h w 3"], box: Detection) -> tuple[str, ...]:
    """Return the names of at most two colours of the thing in a box, the most common first.

    Args:
        image: RGB.
        box: A thing in it; one of a few pixels has no colour.
    """
    height, width = image.shape[:2]
    left, right = box.left * width, box.right * width
    top, bottom = box.top * height, box.bottom * height
    margin_x, margin_y = (right - left) * (1 - _MIDDLE) / 2, (bottom - top) * (1 - _MIDDLE) / 2
    middle = _cut(image, left + margin_x, top + margin_y, right - margin_x, bottom - margin_y)
    if min(middle.shape[:2]) < _MIN_SIDE_PX:
        return ()
    inside = _shares(middle)
    ring_x, ring_y = (right - left) * _RING, (bottom - top) * _RING
    outer = _cut(image, left - ring_x, top - ring_y, right + ring_x, bottom + ring_y)
    whole = _cut(image, left, top, right, bottom)
    # Counts of the ring alone: those of the larger cut without those of the box.
    ring = _counts(outer) - _counts(whole)
    around = ring / max(1, int(ring.sum()))
    excess = inside - 0.5 * around
    best = np.argsort(-excess)[:2]
    return tuple(
        COLOURS[idx]
        for idx in best
        if inside[idx] >= _MIN_SHARE and (inside[idx] > around[idx] or inside[idx] > 0.5)
    )


def name_pixels(image: UInt8[np.ndarray, "h w 3"]) -> Int64[np.ndarray, "h w"]:
    """Return the position in `COLOURS` of each pixel of an RGB picture."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int64)
    # Hue in OpenCV's half degrees: 0 red, 30 yellow, 60 green, 120 blue. Limits of red and yellow
    # fitted on cut-outs of fruit, cars and animals: 41 of 51 have their colour most often.
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    names = np.select(
        [hue < 6, hue < 21, hue < 36, hue < 86, hue < 131, hue < 155, hue < 170],
        [_RED, _ORANGE, _YELLOW, _GREEN, _BLUE, _PURPLE, _PINK],
        _RED,
    )
    # Brown is dark or dull orange, and dark yellow or red of little strength.
    is_warm = (names == _ORANGE) | (names == _YELLOW)
    names[is_warm & ((value < 165) | ((names == _ORANGE) & (saturation < 130)))] = _BROWN
    names[(names == _RED) & (value < 110) & (saturation < 150)] = _BROWN
    names[(names == _RED) & (value >= 170) & (saturation < 130)] = _PINK
    # Dull pixels have no hue to speak of; in the dark noise looks saturated.
    is_dull = (saturation < 42) | ((saturation < 70) & (value < 90))
    names[is_dull] = _GREY
    names[is_dull & (value >= 185)] = _WHITE
    names[(is_dull & (value < 72)) | (value < 46)] = _BLACK
    return names.astype(np.int64)


def _counts(image: UInt8[np.ndarray, "h w 3"]) -> Int64[np.ndarray, " colour"]:
    # A few thousand pixels tell as much as all of them.
    step = max(1, int((image.shape[0] * image.shape[1] / 4096) ** 0.5))
    thin = np.ascontiguousarray(image[::step, ::step])
    if not thin.size:
        return np.zeros(len(COLOURS), np.int64)
    counts = np.bincount(name_pixels(thin).ravel(), minlength=len(COLOURS))
    return counts.astype(np.int64) * step * step


def _shares(image: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, " colour"]:
    counts = _counts(image)
    return counts / max(1, int(counts.sum()))


def _cut(
    image: UInt8[np.ndarray, "h w 3"], left: float, top: float, right: float, bottom: float
) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = image.shape[:2]
    columns = slice(max(0, round(left)), min(width, round(right)))
    return image[max(0, round(top)) : min(height, round(bottom)), columns]
