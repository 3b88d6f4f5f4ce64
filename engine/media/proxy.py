"""A copy of any video that a browser plays and seeks at once: 720p H.264, AAC, index first."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from engine.media.audio import AudioReader
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.media.write import add_picture_stream, even, picture, written_beside
from engine.records import TimeSpan

_RATE_HZ = 48_000
_AUDIO_FRAME = 1024
_MOST_FPS = 30.0


def playback_proxy(
    uri: str,
    path: Path,
    *,
    limits: MediaLimits | None = None,
    max_side_px: int = 1280,
    keyframe_s: float = 2.0,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Write the proxy; its clock is that of the frames, so that evidence can be sought in it.

    Args:
        keyframe_s: Longest way from a moment back to a keyframe: how fast a seek is.
        on_progress: Called with the seconds written so far.
    Returns:
        Frames written.
    """
    limits = limits or MediaLimits()
    config = SamplingConfig(fps=_MOST_FPS, thin_static=False, max_side_px=max_side_px)
    n, key_s = 0, 0.0
    with (
        FrameReader(uri, config, limits=limits) as reader,
        AudioReader(uri, limits=limits, rate_hz=_RATE_HZ, layout="stereo") as sound,
        written_beside(path) as part,
        av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        video = add_picture_stream(out, _MOST_FPS, crf=26, gop_frames=1000, preset="veryfast")
        speaker = _Speaker(out, sound) if sound.has_track else None
        for n, frame in enumerate(map(even, reader), start=1):
            shown = picture(frame, video)
            if n == 1 or frame.pts_s - key_s >= keyframe_s:
                shown.pict_type, key_s = av.video.frame.PictureType.I, frame.pts_s
            out.mux(video.encode(shown))
            if speaker is not None:
                speaker.say_until(frame.pts_s)
            if on_progress is not None:
                on_progress(frame.pts_s)
        out.mux(video.encode(None))
        if speaker is not None:
            speaker.finish()
    return n


class _Speaker:
    """Encodes sound up to wherever the picture is, in frames of AAC."""

    def __init__(self, out: OutputContainer, sound: AudioReader) -> None:
        self._out, self._sound = out, sound
        self._stream: AudioStream = out.add_stream("aac", rate=_RATE_HZ, layout="stereo")
        self._stream.bit_rate = 128_000
        self._at = 0

    def say_until(self, time_s: float) -> None:
        """Write whole frames of sound that end before a moment."""
        while (self._at + _AUDIO_FRAME) / _RATE_HZ <= time_s:
            span = TimeSpan(start_s=self._at / _RATE_HZ, end_s=(self._at + _AUDIO_FRAME) / _RATE_HZ)
            samples = self._sound.window(span)
            assert samples is not None
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples), format="fltp", layout="stereo"
            )
            frame.rate, frame.pts, frame.time_base = _RATE_HZ, self._at, Fraction(1, _RATE_HZ)
            self._out.mux(self._stream.encode(frame))
            self._at += _AUDIO_FRAME

    def finish(self) -> None:
        """Write what the encoder holds back."""
        self._out.mux(self._stream.encode(None))
