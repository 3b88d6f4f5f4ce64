"""The packets of one stream, the damage on the way to them, and what H.264 packets begin.

Encoders for cameras and low delay may spread an intra picture over many frames. Containers mark
where such a gradual refresh starts as a keyframe, but no picture is whole until it has ended.

Source: ITU-T H.264, 7.3.1 (NAL units), 7.3.2.3 and D.1.8 (recovery point).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Discard

from engine.errors import MediaDecodeError, MediaRefusedError
from engine.media.feed_stamps import FeedStamps
from engine.media.source import Source
from engine.media.stamps import STAMP_BITS, AnyPacket, PictureStamps, VideoPacket

_MAX_BAD_READS = 64
_SLICE_TYPES = (1, 5)
_SEI = 6
_RECOVERY_POINT = 6
# Of a packet: headers and messages come before the first slice; a few hundred bytes hold them.
_MAX_HEAD_BYTES = 4096


@dataclass(slots=True)
class Counts:
    """Counts of what happened so far in one pass over a source."""

    decoded: int = 0
    sampled: int = 0
    static: int = 0
    damaged: int = 0
    gaps: int = 0


class PacketReader:
    """An iterator over packets that skips, and counts, what the container cannot make sense of."""

    def __init__(self, source: Source, counts: Counts) -> None:
        self.on_packet: Callable[[], None] | None = None
        self.read_up_to = 0
        """Position in the file, in bytes, of the end of the last packet."""
        self.clock_resets = 0
        """How often the clock of the file was set anew up to the last packet."""
        self._sound: tuple[AudioStream, Callable[[AnyPacket, float], None]] | None = None
        self._source = source
        self._counts = counts
        self._demuxed = self._demux()
        self._stamps = _picture_stamps(source)
        self._listen()

    @property
    def feed_stamps(self) -> FeedStamps | None:
        """The clock of a live feed; `None` of a file."""
        return self._stamps if isinstance(self._stamps, FeedStamps) else None

    def __iter__(self) -> Iterator[VideoPacket]:
        return self

    def __next__(self) -> VideoPacket:
        for _ in range(_MAX_BAD_READS):
            try:
                packet = next(self._demuxed)
            except IndexError:
                # At the end, av 18.1 trips over streams that appeared on the way.
                raise StopIteration from None
            except av.InvalidDataError:
                self._counts.damaged += 1
                self.restart()
                continue
            except av.FFmpegError as error:
                raise MediaDecodeError(
                    self._source.uri, "reading stopped", hint="check the disk or the network"
                ) from error
            self._note(packet)
            if packet.is_discard and self._source.feed is not None:
                # FFmpeg's reader of MP4 takes what is behind a clock that was set back for old.
                return _kept(packet)
            return packet
        raise StopIteration

    def hear(self, stream: AudioStream, tap: Callable[[AnyPacket, float], None]) -> None:
        """Hand on the packets of a live feed's sound as they come.

        Args:
            tap: Called with each packet, and with the seconds to add to its time stamp.
        """
        stream.discard = Discard.default
        self._sound = (stream, tap)
        self.restart()

    def _tell_sound(self, packet: AnyPacket) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if self._sound is None or self.feed_stamps is None or stamp is None or not packet.size:
            return
        stamp_s = float(stamp * packet.time_base)
        self._sound[1](packet, self.feed_stamps.sound_shift_s(stamp_s))

    def restart(self) -> None:
        """Continue from where the container stands, after a seek or an error."""
        self._demuxed = self._demux()

    def reopen(self) -> None:
        """Continue with a feed that was connected to again, and has a clock of its own now."""
        self.restart()
        self._stamps = _picture_stamps(self._source)
        self._listen()

    def beat(self) -> None:
        """Tell a watchdog that reading is alive."""
        if self.on_packet is not None:
            self.on_packet()

    def _listen(self) -> None:
        """Beat also while a feed that is alive has no packet yet."""
        if self._source.feed is not None:
            self._source.feed.on_wait = self.beat

    def _demux(self) -> Iterator[VideoPacket]:
        if self._sound is not None:
            return self._demux_both(self._sound[0])
        packets = self._source.container.demux(self._source.stream)
        return _stamped_once(packets) if self._source.container.format.name == "mpeg" else packets

    def _demux_both(self, sound: AudioStream) -> Iterator[VideoPacket]:
        picture = self._source.stream
        for packet in self._source.container.demux([picture, sound]):
            if packet.stream_index == picture.index:
                yield cast(VideoPacket, packet)
            else:
                self._tell_sound(packet)

    def _note(self, packet: VideoPacket) -> None:
        if packet.has_sidedata("encryption_info"):
            raise MediaRefusedError(
                self._source.uri, "it is encrypted", hint="export it without copy protection"
            )
        if packet.pos is not None:
            self.read_up_to = max(self.read_up_to, packet.pos + packet.size)
        else:
            # It begins inside what the packet before it began in.
            self.read_up_to += packet.size
        if packet.size:
            self._correct(packet)
        self.beat()

    def _correct(self, packet: VideoPacket) -> None:
        feed = self._source.feed
        at = self.read_up_to if packet.pos is None else packet.pos
        joint = None if feed is None else feed.joint_before(at)
        if isinstance(self._stamps, FeedStamps):
            self.clock_resets += self._stamps.correct(packet, joint)
        elif self._stamps is not None:
            is_clock_set = joint is not None and joint.is_clock_set
            self.clock_resets += self._stamps.correct(packet, is_clock_set=is_clock_set)


def _kept(packet: VideoPacket) -> VideoPacket:
    """Return a packet without the mark that has it thrown away."""
    kept = cast(VideoPacket, Packet(bytes(packet)))
    kept.stream, kept.time_base = packet.stream, packet.time_base
    kept.pts, kept.dts, kept.duration = packet.pts, packet.dts, packet.duration
    kept.is_keyframe = packet.is_keyframe
    return kept


def _stamped_once(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    """Yield the packets of a program stream, each time stamp on one picture alone.

    A packet of the container holds pieces of several pictures; its stamp is that of the first
    picture which begins in it. FFmpeg gives it to the picture that ends there as well.
    """
    held: VideoPacket | None = None
    for packet in packets:
        if held is not None:
            if held.dts is not None and (held.pts, held.dts) == (packet.pts, packet.dts):
                held.pts = held.dts = None
            yield held
        held = packet
    if held is not None:
        yield held


def until_lost(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    """Yield the packets of a feed until it can be read no more, which is no failure yet."""
    with contextlib.suppress(MediaDecodeError):
        yield from packets


def _picture_stamps(source: Source) -> PictureStamps | FeedStamps | None:
    container = source.container.format.name
    if source.is_live:
        return FeedStamps(source.stream, container)
    may_step = container in STAMP_BITS or source.feed is not None
    return PictureStamps(container, source.stream) if may_step else None


def starts_gradual_refresh(data: bytes, *, length_prefixed: bool) -> bool:
    """Return whether an H.264 access unit has a recovery point that lies in later frames.

    Args:
        data: One packet.
        length_prefixed: As in MP4 and Matroska; else with start codes, as in MPEG-TS.
    """
    data = data[:_MAX_HEAD_BYTES]
    for unit in _length_prefixed_units(data) if length_prefixed else _start_coded_units(data):
        kind = unit[0] & 0x1F
        if kind in _SLICE_TYPES:
            return False
        if kind == _SEI and (payload := _sei_payload(unit[1:], _RECOVERY_POINT)):
            # An Exp-Golomb number whose first bit is set is 0: whole at once.
            return not payload[0] & 0x80
    return False


def _length_prefixed_units(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size:
            yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _start_coded_units(data: bytes) -> Iterator[bytes]:
    at = data.find(b"\x00\x00\x01")
    while at >= 0:
        following = data.find(b"\x00\x00\x01", at + 3)
        unit = data[at + 3 : following if following >= 0 else None]
        if unit:
            yield unit
        at = following


def _sei_payload(sei: bytes, wanted: int) -> bytes | None:
    """Return the payload of the message of one kind in an SEI unit."""
    at = 0
    while at + 2 < len(sei):
        kind, at = _run_coded(sei, at)
        size, at = _run_coded(sei, at)
        if kind == wanted:
            return sei[at : at + size] or None
        at += size
    return None


def _run_coded(sei: bytes, at: int) -> tuple[int, int]:
    """Return a number written as a run of 255s and a last byte, and the position behind it."""
    number = 0
    while at < len(sei):
        number += sei[at]
        at += 1
        if sei[at - 1] != 255:
            break
    return number, at
