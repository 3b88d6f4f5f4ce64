"""Writes videos whose every frame spells its index in black and white bars, and reads them back.

A frame shows 16 bars from left to right, the lowest bit first, white for 1, over its upper half;
the lower half shows the inverted bits, so that a smeared or empty picture is noticed.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from engine.media.write import write_video

N_BITS = 16


def spelled(index: int, *, height: int = 90, width: int = 160) -> UInt8[np.ndarray, "h w 3"]:
    """A frame that spells `index`."""
    bits = (index >> np.arange(N_BITS)) & 1
    columns = np.repeat(bits, -(-width // N_BITS))[:width].astype(np.uint8) * 255
    frame = np.empty((height, width, 3), dtype=np.uint8)
    frame[: height // 2] = columns[None, :, None]
    frame[height // 2 :] = 255 - columns[None, :, None]
    return frame


def read_index(pixels: UInt8[np.ndarray, "h w 3"]) -> int:
    """The index that a frame spells.

    Raises:
        ValueError: The two halves contradict each other: no frame of ours, or a smeared one.
    """
    height, width = pixels.shape[:2]
    bar = -(-width // N_BITS)
    centres = np.minimum(np.arange(N_BITS) * bar + bar // 2, width - 1)
    upper = pixels[height // 4, centres].mean(axis=-1) > 127
    lower = pixels[height * 3 // 4, centres].mean(axis=-1) > 127
    if (upper == lower).any():
        raise ValueError("the frame spells no index")
    return int((upper.astype(np.int64) << np.arange(N_BITS)).sum())


def spelled_frames(n: int, **size: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames 0 to n - 1."""
    return (spelled(index, **size) for index in range(n))


def spelled_video(
    path: Path,
    n: int,
    *,
    fps: float = 25.0,
    gop_frames: int = 50,
    height: int = 90,
    width: int = 160,
) -> Path:
    """Write a video of `n` spelled frames and return its path."""
    write_video(
        path, spelled_frames(n, height=height, width=width), fps, gop_frames=gop_frames, crf=18
    )
    return path


def encoded_video(
    path: Path,
    n: int,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    gop_frames: int | None = None,
    size_px: tuple[int, int] = (96, 160),
    times_s: Sequence[float] | None = None,
    noise: bool = True,
) -> Path:
    """Write `n` frames with any encoder, into the container that the name calls for.

    Args:
        times_s: When each frame is shown; 25 a second if left out.
        noise: Grain over faint bars, so that no two pictures are alike; spells nothing then.
    """
    generator = np.random.default_rng(0)
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=25, options=dict(options or {}))
        stream.height, stream.width = size_px
        stream.pix_fmt = "yuv420p"
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if gop_frames is not None:
            stream.gop_size = gop_frames
        for index in range(n):
            pixels = spelled(index, height=size_px[0], width=size_px[1])
            if noise:
                pixels = pixels // 2 + generator.integers(0, 64, pixels.shape, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index if times_s is None else round(times_s[index] * 1000)
            frame.time_base = Fraction(1, 25 if times_s is None else 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def repeated_video(source: Path, n_times: int, path: Path) -> Path:
    """Copy a video `n_times` in a row without encoding it again: hours of footage in seconds."""
    with av.open(path, "w") as out:
        to = None
        shift = 0
        for _ in range(n_times):
            with av.open(source) as container:
                stream = container.streams.video[0]
                to = to or out.add_stream_from_template(stream)
                end = 0
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = to
                    out.mux(packet)
                shift += end
    return path


def patrol_video(
    path: Path, seconds: int, *, fps: int = 25, size_px: tuple[int, int] = (360, 640)
) -> Path:
    """Camera-like footage: grain over a still scene through which a bright block walks."""
    generator = np.random.default_rng(0)
    height, width = size_px
    scene = generator.integers(40, 120, (height // 8, width // 8, 3), dtype=np.uint8)
    scene = scene.repeat(8, axis=0).repeat(8, axis=1)
    grain = [generator.integers(0, 12, scene.shape, dtype=np.uint8) for _ in range(8)]

    def frames() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for index in range(seconds * fps):
            frame = scene + grain[index % len(grain)]
            left = 2 * index % (width - 40)
            frame[height // 2 : height // 2 + 80, left : left + 40] = 230
            yield frame

    write_video(path, frames(), float(fps), gop_frames=10 * fps)
    return path
