"""A frame as it leaves this folder: upright RGB pixels and the exact time they are shown."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture of a video, RGB, upright, with square pixels."""

    pixels: UInt8[np.ndarray, "h w 3"]
    pts_s: float
    """Seconds from the first frame of the video."""
    starts_chunk: bool = False
    """Whether thinning ended a group of frames early: a chunk begins here, however few frames
    the one before it has."""
