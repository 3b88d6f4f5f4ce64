"""Writes H.264 files, fetches the frame of a moment, cuts clips, and makes playback proxies.

Every file is written beside its name and renamed when it is whole.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8

from engine.media.frames import Frame


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"] | Frame],
    fps: float,
    *,
    crf: int = 23,
    gop_frames: int = 250,
    preset: str = "veryfast",
) -> int:
    """Write RGB frames as H.264 in MP4 (yuv420p, index first).

    Args:
        frames: All of the size of the first; a bare array lasts 1/fps, a `Frame` is shown at
            its own time.
        fps: Nominal rate.
        crf: Quality of x264, 0 to 51, lower is better.
        gop_frames: Frames from one keyframe to the next.
    Returns:
        Frames written.
    Raises:
        ValueError: There is no frame, or sides are odd numbers of pixels.
    """
    options: dict[str, object] = {"crf": str(crf), "preset": preset, "bf": "2"}
    with _written_beside(path) as part, av.open(part, "w", format="mp4", options=_MP4) as out:
        stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.options = options
        stream.gop_size = gop_frames
        n = 0
        for n, frame in enumerate(frames, start=1):
            out.mux(stream.encode(_picture(frame, n - 1, fps, stream)))
        if n == 0:
            raise ValueError("frames must not be empty")
        out.mux(stream.encode(None))
    return n


_MP4 = {"movflags": "+faststart"}
# Fine enough for any frame rate in use and for times such as 1/3 s of a thousandth.
_TICK = Fraction(1, 90_000)


def _picture(
    frame: UInt8[np.ndarray, "h w 3"] | Frame, index: int, fps: float, stream: VideoStream
) -> av.VideoFrame:
    pixels = frame.pixels if isinstance(frame, Frame) else frame
    pts_s = frame.pts_s if isinstance(frame, Frame) else index / fps
    if index == 0:
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TICK
        if stream.height % 2 or stream.width % 2:
            raise ValueError(f"frames must have even sides, not {stream.width}x{stream.height}")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    picture.pts = round(pts_s / _TICK)
    picture.time_base = _TICK
    return picture


@contextlib.contextmanager
def _written_beside(path: Path) -> Iterator[str]:
    """A name next to `path` that becomes `path` on success and vanishes on failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield str(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
