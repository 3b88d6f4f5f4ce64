"""The way in which a stored picture is to be turned or mirrored, from its display matrix.

Source: ISO/IEC 14496-12, 6.2.2: a point (x, y) of the stored picture is shown at
(a x + c y, b x + d y), y counted downwards. Four of the eight orientations are mirrored; front
cameras and projection mounts write them.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from jaxtyping import UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """One of the eight ways to turn and mirror a picture by right angles."""

    is_transposed: bool = False
    """Rows become columns; done before the mirroring."""
    mirrors_x: bool = False
    """Left and right change places."""
    mirrors_y: bool = False
    """Top and bottom change places."""
    angle_deg: float = 0.0
    """Exact angle, counter-clockwise, of the x axis of the stored picture."""

    @property
    def rotation_deg(self) -> int:
        """The angle as a multiple of 90 degrees in [0, 360)."""
        return round(self.angle_deg / 90) * 90 % 360

    def upright(self, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Return the picture as the viewer sees it."""
        if self.is_transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrors_y:
            pixels = pixels[::-1]
        if self.mirrors_x:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return the orientation that a frame states; upright where it states none or nonsense."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    angle_deg = -math.degrees(math.atan2(b, a))
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    x_from, y_from = (c, b) if is_transposed else (a, d)
    if not x_from or not y_from:
        return Orientation()
    return Orientation(
        is_transposed=is_transposed,
        mirrors_x=x_from < 0,
        mirrors_y=y_from < 0,
        angle_deg=angle_deg,
    )


def _display_matrix(frame: VideoFrame) -> bytes | None:
    # The stubs of av 18.1 declare names as keys; at run time they are kinds.
    entry = cast(Mapping[Type, SideData], frame.side_data).get(Type.DISPLAYMATRIX)
    return None if entry is None else bytes(entry)
