"""Changes of scene between kept stills: where a picture shares little with the one before."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from engine.cache.stills import StillStore
from engine.errors import LongwatchError
from engine.records import TimeSpan, VideoId

MOST_STILLS: Final = 2000
"""Stills that are compared, evenly over a longer recording: an hour takes two seconds."""
LEAST_DIFFERENCE: Final = 0.16
"""Mean difference of two pictures in small, as a share of the grey scale: things that pass a
fixed camera stay below half of it, cuts of films are mostly above."""
MOST_SHARED: Final = 0.6
"""Overlap of their histograms above which it is one place, however much moved."""
_SIZE: Final = (32, 18)


def scene_changes(stills: StillStore, video: VideoId, span: TimeSpan) -> tuple[float, ...]:
    """Return the times of stills with which a new scene begins, in order.

    Args:
        stills: Of the library; without any of the video there are no changes to tell.
        video: Which.
        span: The part that is looked at.
    """
    times = [time_s for time_s in stills.times(video) if span.contains(time_s)]
    step = max(1, -(-len(times) // MOST_STILLS))
    changes: list[float] = []
    before: UInt8[np.ndarray, "_ _ 3"] | None = None
    for time_s in times[::step]:
        small = _small(stills, video, time_s)
        if small is None:
            continue
        if before is not None and is_change(before, small):
            changes.append(time_s)
        before = small
    return tuple(changes)


def is_change(before: UInt8[np.ndarray, "_ _ 3"], after: UInt8[np.ndarray, "_ _ 3"]) -> bool:
    """Return whether two pictures of one small size show two scenes."""
    difference = float(np.abs(before.astype(np.int16) - after.astype(np.int16)).mean()) / 255
    if difference < LEAST_DIFFERENCE:
        return False
    shared = float(np.minimum(_histogram(before), _histogram(after)).sum())
    return shared < MOST_SHARED


def _histogram(image: UInt8[np.ndarray, "_ _ 3"]) -> Float32[np.ndarray, " bin"]:
    # Eight steps a colour: light that flickers within one changes nothing.
    steps = (image // 32).reshape(-1, 3).astype(np.int64)
    counts = np.bincount(steps @ np.array([64, 8, 1]), minlength=512)
    return np.asarray(counts / max(1, counts.sum()), dtype=np.float32)


def _small(stills: StillStore, video: VideoId, time_s: float) -> UInt8[np.ndarray, "_ _ 3"] | None:
    try:
        jpeg = stills.at(video, time_s).jpeg
    except LongwatchError:
        return None
    # Scaled by eight while it is decoded: a tenth of the time of the whole picture.
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
    return np.asarray(cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
