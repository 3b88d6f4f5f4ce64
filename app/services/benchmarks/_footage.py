"""Drawn footage that looks like a camera's, of any length."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from engine.media.baseline import repeat_video
from engine.media.encode import write_video
from engine.media.frame import Frame
from engine.records import MediaInfo, SampleStats

_MINUTE_S = 60
STREAM_PX = (88, 160)
"""Height and width of a drawn stream."""


@dataclass
class DrawnStream:
    """A source of drawn frames, one a second, read as fast as it goes."""

    n_frames: int
    stats: SampleStats = field(default_factory=SampleStats)

    @property
    def info(self) -> MediaInfo:
        """The source."""
        height_px, width_px = STREAM_PX
        return MediaInfo(
            uri="drawn",
            container="none",
            video_codec=None,
            fps=1.0,
            height_px=height_px,
            width_px=width_px,
            duration_s=float(self.n_frames),
        )

    def __iter__(self) -> Iterator[Frame]:
        for second, pixels in enumerate(patrol(self.n_frames, STREAM_PX)):
            yield Frame(pixels=pixels, pts_s=float(second))


def draw_footage(path: Path, minutes: int) -> Path:
    """Write so many minutes of 640x360 at 25 frames a second; return `path`."""
    return repeat_video(draw_minute(path.with_name(f"minute-{path.name}")), minutes, path)


def draw_minute(path: Path, *, fps: int = 25, size_px: tuple[int, int] = (360, 640)) -> Path:
    """Write a minute of grain over a still scene through which a bright block walks.

    Args:
        size_px: Height and width, multiples of 8.
    """
    write_video(path, patrol(_MINUTE_S * fps, size_px), float(fps), gop_frames=10 * fps)
    return path


def patrol(n: int, size_px: tuple[int, int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames of grain over a still scene through which a bright block walks."""
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
