"""Drawn footage that looks like a camera's, of any length."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from engine.media.baseline import repeat_video
from engine.media.encode import write_video

_MINUTE_S = 60


def draw_footage(path: Path, minutes: int) -> Path:
    """Write so many minutes of 640x360 at 25 frames a second; return `path`."""
    return repeat_video(draw_minute(path.with_name(f"minute-{path.name}")), minutes, path)


def draw_minute(path: Path, *, fps: int = 25, size_px: tuple[int, int] = (360, 640)) -> Path:
    """Write a minute of grain over a still scene through which a bright block walks.

    Args:
        size_px: Height and width, multiples of 8.
    """
    write_video(path, _patrol(_MINUTE_S * fps, size_px), float(fps), gop_frames=10 * fps)
    return path


def _patrol(n: int, size_px: tuple[int, int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    generator = np.random.default_rng(0)
    height, width = size_px
    scene = generator.integers(40, 120, (height // 8, width // 8, 3), dtype=np.uint8)
    scene = scene.repeat(8, axis=0).repeat(8, axis=1)
    grain = [generator.integers(0, 12, scene.shape, dtype=np.uint8) for _ in range(8)]
    for index in range(n):
        frame = scene + grain[index % len(grain)]
        left = 2 * index % (width - 40)
        frame[height // 2 : height // 2 + 80, left : left + 40] = 230
        yield frame
