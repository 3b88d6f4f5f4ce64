"""The sound of a live feed, beside its pictures in the files of a recording.

AAC is kept as it is sent where it says how it is to be decoded; any other sound is encoded as AAC,
because browsers play no other kind from such files: cameras mostly send G.711.

Decision: sound has a muxer of its own, and its fragments are put between those of the pictures,
with a header made of both. FFmpeg's muxer forgets when a second track began, and cuts fragments of
a packet each where there are two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet

from engine.media.boxes import SOUND_TRACK, merged_header, sound_fragments
from engine.media.formats import AUDIO_CODECS
from engine.media.muxed_bytes import FRAGMENTED, MuxedBytes
from engine.media.stamps import AnyPacket

_RATES_HZ: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Those of AAC that browsers play."""
_BITS_PER_SAMPLE: Final = 3
"""Of one channel: 24 kbit/s of telephone sound, 144 of 48 kHz."""
_DRIFT_S: Final = 0.1
"""Sound that is off by more than this was lost on the way, or its clock was set."""


def can_record(stream: AudioStream) -> bool:
    """Return whether the sound of a feed can be kept beside its pictures."""
    context = stream.codec_context
    return context is not None and context.name in AUDIO_CODECS


@dataclass(frozen=True, slots=True)
class KeptSound:
    """A packet of AAC on the clock of the pictures."""

    packet: AnyPacket
    stamp: int
    tick_s: Fraction

    @property
    def start_s(self) -> Fraction:
        """Seconds at which it begins to sound."""
        return self.stamp * self.tick_s


class SoundTrack:
    """The packets of a connection's sound as AAC, and the fragments of the file that is open."""

    def __init__(self, stream: AudioStream) -> None:
        """Start before the first packet.

        Args:
            stream: Which `can_record`.
        """
        self._stream = stream
        context = stream.codec_context
        is_ready = context.name == "aac" and bool(context.extradata)
        self._encoder = None if is_ready else _Encoder(stream)
        self._sink = MuxedBytes()
        self._container: Any = None
        self._track: Any = None
        self._zero = 0
        self._ahead: int | None = None
        self._last = -1

    @property
    def tick_s(self) -> Fraction:
        """Of the time stamps of packets as they are kept."""
        if self._encoder is not None:
            return self._encoder.tick_s
        return Fraction(self._stream.time_base or Fraction(1, 90_000))

    def open(self, header: bytes, zero_s: Fraction) -> bytes:
        """Begin a file.

        Args:
            header: Of its pictures.
            zero_s: The beginning of the file, on the clock of the packets.
        Returns:
            The header of a file with both.
        """
        self._sink = MuxedBytes()
        self._container = av.open(self._sink, "w", format="mp4", options=FRAGMENTED)
        if self._encoder is None:
            self._track = self._container.add_stream_from_template(self._stream)
            self._track.time_base = self._stream.time_base
        else:
            self._track = self._encoder.stream_of(self._container)
        self._container.start_encoding()
        self._zero, self._ahead, self._last = round(zero_s / self.tick_s), None, -1
        return merged_header(header, self._sink.take())

    def kept(self, packet: AnyPacket, shift_s: float) -> Iterator[KeptSound]:
        """Yield what is recorded for the next packet of the feed.

        Args:
            shift_s: What is added to its time stamp.
        """
        if self._encoder is not None:
            for encoded in self._encoder.encoded(packet, shift_s):
                yield KeptSound(encoded, encoded.pts or 0, self.tick_s)
            return
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            yield KeptSound(packet, stamp + round(Fraction(shift_s) / self.tick_s), self.tick_s)

    def take(self, kept: KeptSound) -> None:
        """Record a packet, if it lies in the file that is open."""
        stamp = kept.stamp - self._zero
        if self._container is None or stamp < 0:
            return
        # FFmpeg counts from the first packet of a file.
        self._ahead = stamp if self._ahead is None else self._ahead
        stamp = max(stamp - self._ahead, self._last + 1)
        self._last = stamp
        copy = Packet(bytes(kept.packet))
        copy.pts = copy.dts = stamp
        copy.duration = kept.packet.duration or 0
        copy.time_base = self.tick_s
        copy.is_keyframe = True
        copy.stream = self._track
        self._container.mux(copy)

    def fragments(self) -> bytes:
        """Return the fragments that are whole by now."""
        # The muxer counts in ticks of its own.
        tick_s = Fraction(self._track.time_base)
        late = round((self._ahead or 0) * self.tick_s / tick_s)
        return sound_fragments(self._sink.take(), track=SOUND_TRACK, late=late)

    def close(self) -> bytes:
        """End the file that is open, and return its last fragments."""
        if self._container is None:
            return b""
        self._container.close()
        self._container = None
        return self.fragments()


class _Encoder:
    """Any sound that can be decoded, as AAC."""

    def __init__(self, stream: AudioStream) -> None:
        context = stream.codec_context
        rate_hz = min(_RATES_HZ, key=lambda known: abs(known - (context.sample_rate or 8000)))
        self._layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self._rate_hz = rate_hz
        self._decoder = context
        self._encoder = self._configured(av.CodecContext.create("aac", "w"))
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=rate_hz)
        self._fifo = AudioFifo()
        self._next: int | None = None
        """Sample at which the next frame of the encoder begins, or is due to."""
        self.tick_s = Fraction(1, rate_hz)

    def stream_of(self, container: Any) -> Any:
        """Return a stream of a file for what is encoded."""
        stream = container.add_stream("aac", rate=self._rate_hz)
        self._configured(stream.codec_context)
        return stream

    def encoded(self, packet: AnyPacket, shift_s: float) -> Iterator[AnyPacket]:
        """Yield what comes out of the encoder, timed by samples; damage is left out."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        for frame in frames:
            if not isinstance(frame, av.AudioFrame):
                continue
            if frame.time is not None:
                self._follow(frame.time + shift_s)
            try:
                for part in self._resampler.resample(frame):
                    part.pts = None
                    self._fifo.write(part)
            except (av.FFmpegError, ValueError):
                # Of another shape than it began with.
                continue
            while (block := self._fifo.read(1024)) is not None:
                block.pts, self._next = self._next, (self._next or 0) + 1024
                block.time_base = self.tick_s
                block.sample_rate = self._rate_hz
                yield from self._encoder.encode(block)

    def _follow(self, time_s: float) -> None:
        """Go on where samples are due; where some are missing, begin anew there."""
        due = round(time_s * self._rate_hz) - self._fifo.samples
        if self._next is None or abs(due - self._next) > _DRIFT_S * self._rate_hz:
            # What waits belongs to before the hole.
            self._fifo.read(0, partial=True)
            self._next = max(due, self._next or due)

    def _configured(self, context: AudioCodecContext) -> AudioCodecContext:
        context.sample_rate, context.layout, context.format = self._rate_hz, self._layout, "fltp"
        n_channels = 1 if self._layout == "mono" else 2
        context.bit_rate = _BITS_PER_SAMPLE * self._rate_hz * n_channels
        context.time_base = Fraction(1, self._rate_hz)
        return context
