"""Encoding of frames and sound as H.264 and AAC in MP4, on one clock.

Every file is written under a temporary name and renamed when it is whole.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from jaxtyping import Float32, UInt8

from engine.files import atomic_write
from engine.media.frame import Frame
from engine.records import TimeSpan

# Fine enough for any frame rate in use and for times such as 1/3 s of a thousandth.
_TICK_S = Fraction(1, 90_000)
# AVCOL_SPC_SMPTE170M, which PyAV has no name for.
_BT601 = 6

SOUND_RATE_HZ = 48_000
_SOUND_BITS_PER_S = 128_000
# Packets of the picture wait in memory for those of the sound no longer than this.
_BLOCK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The source of the sound of a file to be written."""

    read: Callable[[TimeSpan], Float32[np.ndarray, "channel sample"] | None]
    """48 kHz stereo in [-1, 1], as long as the span; `None` where there is no sound, or no
    more. Spans come in order, each beginning where the last one ended."""
    end_s: float = 0.0
    """End of the sound where the picture ends earlier."""


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
    """Write RGB frames as H.264 in MP4 (yuv420p, index first), with sound as AAC.

    Args:
        frames: All of the size of the first, sides even; a bare array lasts 1/fps, a `Frame` is
            shown at its own time.
        fps: Nominal rate.
        crf: Quality of x264, 0 to 51, lower is better.
        gop_frames: Most frames from one keyframe to the next.
        sound: On the clock of the frames; a file without a track if left out.
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
        track = None if sound is None else _SoundTrack(out, sound)
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
    """Add an H.264 stream that takes its size from the first picture.

    The arguments are those of `write_video`.
    """
    stream: VideoStream = out.add_stream(
        "libx264",
        rate=Fraction(fps).limit_denominator(1001),
        options={"crf": str(crf), "preset": preset, "bf": "2"},
    )
    stream.gop_size = gop_frames
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TICK_S
    # The matrix that the conversion from RGB uses; without it, players guess another for HD.
    stream.codec_context.colorspace = _BT601
    stream.codec_context.color_range = ColorRange.MPEG
    stream.width = stream.height = 0
    return stream


def picture(frame: Frame, stream: VideoStream) -> av.VideoFrame:
    """Return a frame as the encoder takes it; the first one sets the size of the stream."""
    height, width = frame.pixels.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"frames must have even sides, not {width}x{height}")
    if not stream.width:
        stream.height, stream.width = height, width
    encodable = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24")
    encodable.pts = round(frame.pts_s / _TICK_S)
    encodable.time_base = _TICK_S
    return encodable


def even(frame: Frame, *, since_s: float = 0.0) -> Frame:
    """Return the frame without a last odd row or column, its time counted from `since_s`.

    A side of one pixel is doubled instead.
    """
    pixels = frame.pixels
    for axis in (0, 1):
        if pixels.shape[axis] == 1:
            pixels = np.repeat(pixels, 2, axis=axis)
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    return Frame(pixels=pixels[:height, :width], pts_s=frame.pts_s - since_s)


class _SoundTrack:
    """An AAC track that is written as far as the picture is."""

    def __init__(self, out: OutputContainer, sound: Sound) -> None:
        """Add a stream to a file that is not begun yet, unless there is no sound."""
        self._out, self._sound = out, sound
        self._next_sample = 0
        self._first_block = sound.read(_block(0))
        self._stream: AudioStream | None = None
        if self._first_block is not None:
            self._stream = out.add_stream("aac", rate=SOUND_RATE_HZ, layout="stereo")
            self._stream.bit_rate = _SOUND_BITS_PER_S

    def write_until(self, time_s: float) -> None:
        """Write the blocks that begin before a moment."""
        while self._stream is not None and self._next_sample < time_s * SOUND_RATE_HZ:
            samples = self._first_block
            if samples is None:
                samples = self._sound.read(_block(self._next_sample))
            self._first_block = None
            if samples is None:
                self._finish(self._stream)
                return
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples), format="fltp", layout="stereo"
            )
            frame.rate, frame.pts, frame.time_base = (
                SOUND_RATE_HZ,
                self._next_sample,
                Fraction(1, SOUND_RATE_HZ),
            )
            self._out.mux(self._stream.encode(frame))
            self._next_sample += samples.shape[1]

    def finish(self, picture_end_s: float) -> None:
        """Write the rest, and what the encoder holds back."""
        self.write_until(max(picture_end_s, self._sound.end_s))
        if self._stream is not None:
            self._finish(self._stream)

    def _finish(self, stream: AudioStream) -> None:
        self._out.mux(stream.encode(None))
        self._stream = None


def _block(start: int) -> TimeSpan:
    """Return the span of the block that begins with a sample."""
    return TimeSpan(start_s=start / SOUND_RATE_HZ, end_s=start / SOUND_RATE_HZ + _BLOCK_S)
