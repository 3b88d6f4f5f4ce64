"""Writes videos whose every frame spells its index in black and white bars, and reads them back.

A frame shows 16 bars from left to right, the lowest bit first, white for 1, over its upper half;
the lower half shows the inverted bits, so that a smeared or empty picture is noticed.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from jaxtyping import UInt8

from engine.media.encode import write_video

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
    fps: int = 25,
    noise: bool = True,
    draw: Callable[[int], UInt8[np.ndarray, "h w 3"]] | None = None,
) -> Path:
    """Write `n` frames with any encoder, into the container that the name calls for.

    Args:
        times_s: When each frame is shown; `fps` a second if left out.
        noise: Grain over faint bars, so that no two pictures are alike; spells nothing then.
        draw: A frame of `size_px` by its index, in place of bars.
    """
    generator = np.random.default_rng(0)
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.height, stream.width = size_px
        stream.pix_fmt = "yuv420p"
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if gop_frames is not None:
            stream.gop_size = gop_frames
        for index in range(n):
            pixels = (
                spelled(index, height=size_px[0], width=size_px[1]) if draw is None else draw(index)
            )
            if noise and draw is None:
                pixels = pixels // 2 + generator.integers(0, 64, pixels.shape, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index if times_s is None else round(times_s[index] * 1000)
            frame.time_base = Fraction(1, fps if times_s is None else 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def set_matroska_duration(path: Path, duration_s: float) -> None:
    """Put another duration into the header of a Matroska file."""
    data = path.read_bytes()
    key = b"\x44\x89\x88"
    assert data.count(key) == 1, "one element with eight bytes of milliseconds"
    start = data.index(key) + len(key)
    path.write_bytes(data[:start] + struct.pack(">d", duration_s * 1000) + data[start + 8 :])


CLAP_EVERY_S = 2.0
"""The first clap is seen and heard this long after the first frame."""


def clapped_video(
    path: Path,
    seconds: int,
    *,
    video_codec: str = "mpeg4",
    audio_codec: str = "libmp3lame",
    rate_hz: int = 44_100,
    picture_from_s: float = 0.0,
    sound_from_s: float = 0.0,
    n_tracks: int = 1,
    fps: int = 25,
    gop_frames: int = 12,
) -> Path:
    """Write a video with a click track: at each clap one white frame, and 10 ms of noise.

    Args:
        picture_from_s: When the first frame is shown, on the file's own clock: whole frames.
        sound_from_s: When the first sample sounds, on the clock of the frames.
        n_tracks: Sound tracks; only the last one has the clicks and is marked as the default.
    """
    generator = np.random.default_rng(0)
    claps_s = np.arange(CLAP_EVERY_S, seconds, CLAP_EVERY_S)
    clicks = np.zeros(round(seconds * rate_hz), dtype=np.float32)
    for clap_s in claps_s:
        at = round(clap_s * rate_hz)
        clicks[at : at + rate_hz // 100] = generator.uniform(-0.8, 0.8, rate_hz // 100)
    clicks = clicks[round(sound_from_s * rate_hz) :]
    flashes = {round(clap_s * fps) for clap_s in claps_s}
    with av.open(path, "w") as out:
        video = out.add_stream(video_codec, rate=fps)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        video.gop_size = gop_frames
        tracks = [out.add_stream(audio_codec, rate=rate_hz, layout="mono") for _ in range(n_tracks)]
        for track in tracks:
            track.disposition = Disposition.default if track is tracks[-1] else Disposition(0)
        for index in range(seconds * fps):
            pixels = np.full((96, 160, 3), 255 if index in flashes else 20, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index + round(picture_from_s * fps), Fraction(1, fps)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for track in tracks:
            samples = clicks if track is tracks[-1] else 0 * clicks
            block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            block.rate, block.time_base = rate_hz, Fraction(1, rate_hz)
            block.pts = round((picture_from_s + sound_from_s) * rate_hz)
            out.mux(track.encode(block))
            out.mux(track.encode(None))
    return path


def clapping_feed(
    folder: Path,
    seconds: int,
    container: str = "ts",
    audio_codec: str = "aac",
    rate_hz: int = 48_000,
) -> bytes:
    """Return what a camera sends that sees and hears claps: sound and picture as they come.

    Its clock is at three seconds when it begins, and there is a keyframe every second.
    """
    folder.mkdir(exist_ok=True)
    video = clapped_video(
        folder / "all.mov",
        seconds,
        video_codec="libx264",
        audio_codec=audio_codec,
        rate_hz=rate_hz,
        picture_from_s=3.0,
        gop_frames=25,
    )
    path = folder / f"feed.{container}"
    with av.open(video) as source, av.open(path, "w") as out:
        tracks = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            packet.stream = tracks[packet.stream_index]
            out.mux(packet)
    return path.read_bytes()


def claps(path: Path) -> tuple[list[float], list[float]]:
    """When the claps of a file are seen, and when they are heard, on its own clock.

    Read with PyAV alone, so that it can judge what our own readers have made.
    """
    seen, heard = [], []
    with av.open(path) as container:
        for frame in container.decode(container.streams.video[0]):
            if frame.to_ndarray(format="gray").mean() > 127:
                seen.append(float(frame.time or 0.0))
    with av.open(path) as container:
        for frame in container.decode(*container.streams.audio[:1]):
            samples = np.abs(frame.to_ndarray()).reshape(len(frame.layout.channels), -1).max(axis=0)
            for place in np.flatnonzero(samples > 0.2):
                time_s = float(frame.time or 0.0) + place / frame.sample_rate
                if not heard or time_s - heard[-1] > CLAP_EVERY_S / 2:
                    heard.append(time_s)
    return seen, heard
