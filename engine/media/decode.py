"""Packets to pictures with exact times, in presentation order; counts what it drops."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import LimitExceededError, MediaDecodeError, MediaRefusedError
from engine.media.source import MediaLimits, Source

# These skip what they cannot read in silence; others report it.
_SYNCED_ANYWHERE = ("mpegts", "mpeg")
_UNREADABLE_TAIL = 0.1

if TYPE_CHECKING:
    VideoPacket = Packet[VideoStream]
else:  # The class takes no parameters at run time.
    VideoPacket = Packet

_MAX_BAD_READS = 64
# A step back of up to this is disorder, and the frame is dropped; beyond it, a new clock.
_DISORDER_S = 1.0
# A reordered stream starts with a packet that is shown up to 16 frames later; that is no loss.
_LATE_START_S = 0.25
# Above this size a second and third decoder thread would each hold a few pictures of 50 MB.
_THREADED_PX = 4096 * 2304


@dataclass(slots=True)
class Counts:
    """What happened so far, in one read-through of a source."""

    decoded: int = 0
    sampled: int = 0
    static: int = 0
    damaged: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame and the half-open stretch of the clock over which it is shown."""

    frame: VideoFrame
    start: int
    """Ticks of the stream from the first frame."""
    end: int


class Decoder:
    """Decodes one source from its start, as an iterator of pictures."""

    def __init__(self, source: Source, limits: MediaLimits, *, gap_s: float) -> None:
        self.counts = Counts()
        self.warnings: tuple[str, ...] = ()
        self.on_packet: Callable[[], None] | None = None
        self._read_up_to = 0
        self._first_packet: int | None = None
        self._source = source
        self._stream: VideoStream = source.stream
        self._limits = limits
        self.tick_s = Fraction(self._stream.time_base or Fraction(1, 90_000))
        self._gap = round(gap_s / self.tick_s)
        self._disorder = round(_DISORDER_S / self.tick_s)
        self._frame_ticks = self._nominal_ticks()
        set_threads(self._stream)

    def finished(self, *, end_s: float, duration_s: float | None) -> None:
        """Add the warnings that can only be given at the end.

        Args:
            end_s: Where the last frame ended.
            duration_s: What the header promised.
        """
        if self.counts.damaged:
            self._warn(f"{self.counts.damaged} packets or frames were damaged")
        if duration_s is not None and duration_s - end_s > max(1.0, duration_s / 20):
            self._warn(
                f"the header promises {duration_s:.1f} s, but the picture ends at {end_s:.1f} s"
            )
        if self._source.container.format.name in _SYNCED_ANYWHERE:
            unread = 1 - self._read_up_to / max(1, self._source.container.size)
            if unread > _UNREADABLE_TAIL:
                self._warn(f"the last {unread:.0%} of the file hold nothing that can be read")

    def check_duration(self, duration_s: float) -> None:
        """Refuse a file that is longer than allowed; a live feed may go on."""
        if not self._source.is_live and duration_s > self._limits.max_duration_s:
            raise LimitExceededError(
                f"{self._source.uri}: duration in seconds",
                round(duration_s, 1),
                self._limits.max_duration_s,
                setting="media.max_duration_s",
            )

    def first_s(self, frame: VideoFrame) -> float:
        """Time of a frame on the file's own clock; 0 where it has none."""
        ticks = _raw_ticks(frame)
        return float(ticks * self.tick_s) if ticks is not None else 0.0

    def __iter__(self) -> Iterator[Picture]:
        held: VideoFrame | None = None
        start = 0
        for frame, ticks in self._on_one_clock():
            if held is not None:
                if ticks - start > self._gap:
                    self.counts.gaps += 1
                yield Picture(held, start, ticks)
            held, start = frame, ticks
        if held is None:
            raise self._nothing_decoded()
        yield Picture(held, start, start + max(1, held.duration or self._frame_ticks))

    def _on_one_clock(self) -> Iterator[tuple[VideoFrame, int]]:
        """Frames with ticks from the first one, strictly rising."""
        shift: int | None = None
        last = 0
        for frame in self._frames():
            raw = _raw_ticks(frame)
            if shift is None:
                shift = 0 if raw is None else -raw
                self._note_start(raw)
            elif raw is None:
                last += self._frame_ticks
            elif raw + shift > last:
                last = raw + shift
            elif raw + shift > last - self._disorder:
                continue
            else:
                self.counts.gaps += 1
                shift = last + self._frame_ticks - raw
                last += self._frame_ticks
            self.check_duration(float(last * self.tick_s))
            yield frame, last

    def _note_start(self, raw: int | None) -> None:
        if raw is None:
            self._warn("it has no time stamps; times follow its nominal frame rate")
        elif self._first_packet is not None:
            late_s = float((raw - self._first_packet) * self.tick_s)
            if late_s > _LATE_START_S:
                self._warn(
                    f"it starts between keyframes: the first {late_s:.2f} s cannot be decoded,"
                    " and times count from the first frame that can"
                )

    def _frames(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            yield from self._decode(packet)

    def _packets(self) -> Iterator[VideoPacket]:
        """Packets of the stream, the empty one that flushes the decoder last."""
        bad = 0
        reads = self._source.container.demux(self._stream)
        while bad < _MAX_BAD_READS:
            try:
                packet = next(reads)
            except StopIteration:
                return
            except av.InvalidDataError:
                bad += 1
                self.counts.damaged += 1
                reads = self._source.container.demux(self._stream)
                continue
            except av.FFmpegError as error:
                raise MediaDecodeError(
                    self._source.uri, "reading stopped", hint="check the disk or the network"
                ) from error
            if packet.has_sidedata("encryption_info"):
                raise MediaRefusedError(
                    self._source.uri, "it is encrypted", hint="export it without copy protection"
                )
            bad = 0
            if packet.pos is not None:
                self._read_up_to = max(self._read_up_to, packet.pos + packet.size)
            if self._first_packet is None:
                self._first_packet = packet.pts
            if self.on_packet is not None:
                self.on_packet()
            yield packet

    def _decode(self, packet: VideoPacket) -> list[VideoFrame]:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.counts.damaged += 1
            return []
        self.counts.decoded += len(frames)
        self.counts.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def _nothing_decoded(self) -> MediaRefusedError:
        return MediaRefusedError(
            self._source.uri,
            "no frame of it could be decoded",
            hint="it may be damaged or encrypted; try to play it, then convert it to H.264",
        )

    def _nominal_ticks(self) -> int:
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        return max(1, round(1 / (Fraction(rate) * self.tick_s)))

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings += (text,)


def set_threads(stream: VideoStream) -> None:
    """Frame threads for ordinary pictures, one thread for huge ones (they bound memory)."""
    context = stream.codec_context
    if context.width * context.height > _THREADED_PX:
        context.thread_type, context.thread_count = "NONE", 1
    else:
        context.thread_type = "AUTO"


def _raw_ticks(frame: VideoFrame) -> int | None:
    return frame.pts if frame.pts is not None else frame.dts
