"""Sound beside pictures: AAC in the same file, on the pictures' clock."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from jaxtyping import Float32

from engine.records import TimeSpan

RATE_HZ = 48_000
_BITS_PER_S = 128_000
# Packets of the picture wait in memory for those of the sound no longer than this.
_BLOCK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Where the sound of a file to be written comes from."""

    read: Callable[[TimeSpan], Float32[np.ndarray, "channel sample"] | None]
    """48 kHz stereo in [-1, 1], as long as the span; `None` where there is none (any more). Spans
    come in order, each beginning where the last one ended."""
    end_s: float = 0.0
    """The sound goes on to here where the picture ends earlier."""


class SoundTrack:
    """Encodes sound up to wherever the picture is."""

    def __init__(self, out: OutputContainer, sound: Sound) -> None:
        """Add a stream to a file that is not begun yet, unless there is nothing to hear."""
        self._out, self._sound = out, sound
        self._at = 0
        """Number of the next sample."""
        self._first = sound.read(_span(0))
        self._stream: AudioStream | None = None
        if self._first is not None:
            self._stream = out.add_stream("aac", rate=RATE_HZ, layout="stereo")
            self._stream.bit_rate = _BITS_PER_S

    def write_until(self, time_s: float) -> None:
        """Write the blocks that begin before a moment."""
        while self._stream is not None and self._at < time_s * RATE_HZ:
            samples = self._first if self._first is not None else self._sound.read(_span(self._at))
            self._first = None
            if samples is None:
                self._finish(self._stream)
                return
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples), format="fltp", layout="stereo"
            )
            frame.rate, frame.pts, frame.time_base = RATE_HZ, self._at, Fraction(1, RATE_HZ)
            self._out.mux(self._stream.encode(frame))
            self._at += samples.shape[1]

    def finish(self, picture_end_s: float) -> None:
        """Write the rest, and what the encoder holds back."""
        self.write_until(max(picture_end_s, self._sound.end_s))
        if self._stream is not None:
            self._finish(self._stream)

    def _finish(self, stream: AudioStream) -> None:
        self._out.mux(stream.encode(None))
        self._stream = None


def _span(at: int) -> TimeSpan:
    """The block that begins with a sample."""
    return TimeSpan(start_s=at / RATE_HZ, end_s=at / RATE_HZ + _BLOCK_S)
