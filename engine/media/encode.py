"""Writes H.264 files; every file is written beside its name and renamed when it is whole."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from jaxtyping import UInt8

from engine.files import atomic_write
from engine.media.frames import Frame
from engine.media.sound_track import Sound, SoundTrack

# Fine enough for any frame rate in use and for times such as 1/3 s of a thousandth.
_TICK_S = Fraction(1, 90_000)
# AVCOL_SPC_SMPTE170M, which PyAV has no name for.
_BT601 = 6


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"] | Frame],
    fps: float,
    *,
    crf: int = 23,
    gop_frames: int = 250,
    preset: str = "veryfast",
    sound: Sound | None = None,
) -> int:
    """Write RGB frames as H.264 in MP4 (yuv420p, index first), with AAC where there is sound.

    Args:
        frames: All of the size of the first, sides even; a bare array lasts 1/fps, a `Frame` is
            shown at its own time.
        fps: Nominal rate.
        crf: Quality of x264, 0 to 51, lower is better.
        gop_frames: Most frames from one keyframe to the next.
        sound: What is heard, on the clock of the frames.
    Returns:
        Frames written.
    Raises:
        ValueError: There is no frame, or sides are odd numbers of pixels.
    """
    with (
        atomic_write(path, single_writer=True) as part,
        av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        stream = add_picture_stream(out, fps, crf=crf, gop_frames=gop_frames, preset=preset)
        track = None if sound is None else SoundTrack(out, sound)
        n, end_s = 0, 0.0
        for n, frame in enumerate(frames, start=1):
            if not isinstance(frame, Frame):
                frame = Frame(pixels=frame, pts_s=(n - 1) / fps)
            out.mux(stream.encode(picture(frame, stream)))
            end_s = frame.pts_s + 1 / fps
            if track is not None:
                track.write_until(end_s)
        if n == 0:
            raise ValueError("frames must not be empty")
        out.mux(stream.encode(None))
        if track is not None:
            track.finish(end_s)
    return n


def add_picture_stream(
    out: OutputContainer, fps: float, *, crf: int, gop_frames: int, preset: str
) -> VideoStream:
    """An H.264 stream that takes its size from the first picture; arguments as `write_video`'s."""
    stream: VideoStream = out.add_stream(
        "libx264",
        rate=Fraction(fps).limit_denominator(1001),
        options={"crf": str(crf), "preset": preset, "bf": "2"},
    )
    stream.gop_size = gop_frames
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TICK_S
    # The matrix that the conversion from RGB uses; unsaid, players guess another for HD.
    stream.codec_context.colorspace = _BT601
    stream.codec_context.color_range = ColorRange.MPEG
    stream.width = stream.height = 0
    return stream


def picture(frame: Frame, stream: VideoStream) -> av.VideoFrame:
    """A frame as the encoder takes it; the first one sets the size of the stream."""
    height, width = frame.pixels.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"frames must have even sides, not {width}x{height}")
    if not stream.width:
        stream.height, stream.width = height, width
    shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24")
    shown.pts = round(frame.pts_s / _TICK_S)
    shown.time_base = _TICK_S
    return shown


def even(frame: Frame, *, since_s: float = 0.0) -> Frame:
    """The frame without a last odd row or column, its time counted from `since_s`.

    A side of one pixel is doubled instead.
    """
    pixels = frame.pixels
    for axis in (0, 1):
        if pixels.shape[axis] == 1:
            pixels = np.repeat(pixels, 2, axis=axis)
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    return Frame(pixels=pixels[:height, :width], pts_s=frame.pts_s - since_s)
