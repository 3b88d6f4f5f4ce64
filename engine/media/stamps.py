"""Time stamps of streams whose clock may be set anew, made continuous before anything reads them.

Transport and program streams count in 33 bits, which wrap after 26.5 hours, and recorders join
recordings or set their clock while one runs. FFmpeg's own correction takes every step back for a
wrap, so it is switched off where a file is opened, and wraps are told from resets here.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

if TYPE_CHECKING:
    AnyPacket = Packet[Stream]
    VideoPacket = Packet[VideoStream]
else:  # The class takes no parameters at run time.
    AnyPacket = VideoPacket = Packet

STAMP_BITS = {"mpegts": 33, "mpeg": 33, "flv": 32}
"""Bits of a time stamp in those containers of FFmpeg whose clock may step."""

_BARE_STREAMS = ("h264", "hevc", "mpegvideo", "m4v")
# Both from FFmpeg's command line (`ts_discontinuity_detect` in ffmpeg_demux.c): a step back by
# more than a tenth of a second, or ahead by more than ten, means that the clock was set.
_BACK_S = 0.1
_AHEAD_S = 10.0
# Packets around a join come out in another order: sound of one part after the picture of the next.
_INTERLEAVED_S = 2.0
_KEPT_SHIFTS = 8


class PictureStamps:
    """The time stamps of a picture stream, going on by duration where its clock was set."""

    def __init__(self, container: str, stream: VideoStream) -> None:
        """Start before the first packet.

        Args:
            container: FFmpeg's name of it; one that is not in `STAMP_BITS` has stamps that do not
                wrap.
        """
        self.shifts = [0]
        """Latest ticks added to the stamps of the file, the current ones last."""
        self.wrap = 1 << STAMP_BITS.get(container, 63)
        self.ticks_per_s = float(1 / Fraction(stream.time_base or Fraction(1, 90_000)))
        self.frame_ticks = nominal_frame_ticks(stream, container)
        """Nominal length of a frame, for packets that state none."""
        self.n_unstamped = 0
        """Packets without a time stamp since the last one that had one."""
        self._last: tuple[int, int] | None = None

    @property
    def last(self) -> int:
        """Continuous time stamp of the last packet; 0 before the first."""
        return self._last[0] if self._last else 0

    def correct(self, packet: AnyPacket | VideoPacket, *, is_clock_set: bool = False) -> bool:
        """Rewrite the time stamps of the next packet, in decoding order.

        Args:
            is_clock_set: Whether the source says that the clock was set anew before it.
        Returns:
            Whether the clock was set anew before it; a wrap is none.
        """
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            self.n_unstamped += 1
            return False
        if packet.pts is not None and packet.dts is not None:
            # Reordered pictures around a wrap are decoded before it and shown behind it.
            packet.pts += _nearest_turn(packet.pts - packet.dts, self.wrap)
        is_reset = False
        # Without a time of decoding, reordered pictures step back by up to 16 frames.
        back_s = _BACK_S if packet.dts is not None else 16 * self.frame_ticks / self.ticks_per_s
        if self._last is not None:
            last, duration = self._last
            shift = self.shifts[-1]
            shift += _nearest_turn(stamp + shift - last, self.wrap)
            step = stamp + shift - last
            if is_clock_set or not is_continuous(step, self.ticks_per_s, back_s=back_s):
                is_reset = True
                shift = last + duration + self.n_unstamped * self.frame_ticks - stamp
            if shift != self.shifts[-1]:
                self.shifts = [*self.shifts[1 - _KEPT_SHIFTS :], shift]
        move(packet, self.shifts[-1])
        self._last = (stamp + self.shifts[-1], packet.duration or self.frame_ticks)
        self.n_unstamped = 0
        return is_reset


class SoundStamps:
    """The time stamps of the sound beside a picture stream, moved as those are."""

    def __init__(self, picture: PictureStamps) -> None:
        self._picture = picture
        self._shift = 0
        self._end: int | None = None

    def correct(self, packet: AnyPacket) -> None:
        """Rewrite the time stamps of the next packet of sound."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            return
        shift = self._nearest_shift(stamp)
        at_most = _INTERLEAVED_S * self._picture.ticks_per_s
        if abs(stamp + self._picture.shifts[-1] - self._picture.last) <= at_most:
            shift = self._picture.shifts[-1]
        elif abs(stamp + shift - self._picture.last) > 5 * at_most and self._end is not None:
            # Sound may step before the picture does, and goes on by duration until that does.
            goes_on = is_continuous(stamp + self._shift - self._end, self._picture.ticks_per_s)
            shift = self._shift if goes_on else self._end - stamp
        self._shift = shift
        move(packet, shift)
        self._end = stamp + shift + (packet.duration or 0)

    def _nearest_shift(self, stamp: int) -> int:
        """Return the one of the picture's shifts that brings a stamp next to the picture."""
        wrap = self._picture.wrap
        shifts = [shift + turn for shift in self._picture.shifts for turn in (0, wrap, -wrap)]
        return min(shifts, key=lambda shift: abs(stamp + shift - self._picture.last))


def nominal_frame_ticks(stream: VideoStream, container: str) -> int:
    """Return how long a frame lasts by the header, in ticks of the stream's clock."""
    tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
    return max(1, round(1 / (nominal_rate(stream, container) or Fraction(25)) / tick_s))


def nominal_rate(stream: VideoStream, container: str) -> Fraction | None:
    """Return the frames a second that the header states; of a bare stream, its parameter sets.

    For bare streams FFmpeg's average is the 25 it assumes where there is no container.
    """
    average = None if container in _BARE_STREAMS else stream.average_rate
    rate = average or stream.guessed_rate
    return Fraction(rate) if rate else None


def _nearest_turn(step: int, wrap: int) -> int:
    """Return the wrap, in either direction or none, that makes a step the smallest."""
    return min((0, wrap, -wrap), key=lambda turn: abs(step + turn))


def is_continuous(step: int, ticks_per_s: float, *, back_s: float = _BACK_S) -> bool:
    """Return whether a clock that ran on may step by this many ticks from packet to packet."""
    return -back_s * ticks_per_s <= step <= _AHEAD_S * ticks_per_s


def move(packet: AnyPacket | VideoPacket, shift: int) -> None:
    """Add ticks to the time stamps of a packet."""
    if shift and packet.pts is not None:
        packet.pts += shift
    if shift and packet.dts is not None:
        packet.dts += shift
