"""Recording of a live feed: its packets as they come, in fragmented MP4 files of about a minute.

No picture is decoded or encoded. A fragment is given out about every second, and a file holds its
header first: what was written of one plays, wherever it was cut off.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from engine.media.muxed_bytes import FRAGMENTED, MuxedBytes
from engine.media.sound_recording import SoundTrack
from engine.media.stamps import AnyPacket, VideoPacket

SEGMENT_S: Final = 60.0
"""Least length of a file; it ends at the next keyframe."""
LONGEST: Final = 10
"""Times `SEGMENT_S` after which a file ends at any picture.

Some sources send one keyframe and never another, and a file that does not end can be neither
deleted nor moved. Joined, such files play.
"""
_LONGEST_WAIT_S: Final = 1
"""For the sound of a picture, which may stop."""
RECORDED_CODECS: Final = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg"})
"""Those that an MP4 file holds as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBytes:
    """The next bytes of a recording."""

    ordinal: int
    """Of the file, counted over a connection."""
    start_s: float
    """Of its first picture, on the clock of the part."""
    end_s: float
    """Up to which the file reaches with these bytes, on the clock of the part."""
    is_last: bool
    """Whether the file ends with them."""
    data: bytes


@dataclass(frozen=True, slots=True)
class _Waiting:
    packet: VideoPacket
    origin: int
    begins_part: bool

    def decoded_s(self, tick_s: Fraction) -> Fraction:
        stamp = self.packet.dts if self.packet.dts is not None else self.packet.pts
        return (stamp or 0) * tick_s


class FeedRecorder:
    """Writes packets of one stream into files, and hands out their bytes."""

    def __init__(
        self,
        stream: VideoStream,
        emit: Callable[[RecordedBytes], None],
        *,
        segment_s: float = SEGMENT_S,
        sound: AudioStream | None = None,
    ) -> None:
        """Start before the first keyframe.

        Args:
            sound: Recorded beside the pictures.
            emit: Called with every fragment, on the thread that calls `take`.
        """
        self._stream = stream
        self._tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
        self._emit = emit
        self._segment_ticks = round(Fraction(segment_s) / self._tick_s)
        self._sound = None if sound is None else SoundTrack(sound)
        self._heard_s = Fraction(0)
        self._waiting: deque[_Waiting] = deque()
        """Pictures whose sound is still to come, in decoding order."""
        self._header = b""
        self._container: OutputContainer | None = None
        self._track: Any = None
        self._sink = MuxedBytes()
        self._ordinal = -1
        self._zero = self._origin = self._first = 0
        self._last_dts = 0
        self._end = 0

    def take(self, packet: VideoPacket, *, origin: int, begins_part: bool) -> None:
        """Record the next packet, in decoding order.

        Args:
            origin: Time stamp of the first frame of the part.
            begins_part: Whether a part of the timeline begins with it: then a file does too.
        """
        if packet.pts is None and packet.dts is None:
            return
        self._waiting.append(_Waiting(packet, origin, begins_part))
        self._release()

    def take_sound(self, packet: AnyPacket, shift_s: float) -> None:
        """Record the next packet of sound.

        Args:
            shift_s: What is added to its time stamp, as to those of the pictures.
        """
        if self._sound is None:
            return
        for kept in self._sound.kept(packet, shift_s):
            # A file that begins with a later picture has none of it.
            self._heard_s = kept.start_s
            self._release()
            self._sound.take(kept)

    def close(self) -> None:
        """End the file that is open, if one is."""
        while self._waiting:
            self._record(self._waiting.popleft())
        self._end_file()

    def _release(self) -> None:
        """Record the pictures that sound has come up to, or has left waiting for too long."""
        while self._waiting:
            first_s = self._waiting[0].decoded_s(self._tick_s)
            newest_s = self._waiting[-1].decoded_s(self._tick_s)
            waits = self._sound is not None and first_s > self._heard_s
            if waits and newest_s - first_s < _LONGEST_WAIT_S:
                return
            self._record(self._waiting.popleft())

    def _record(self, waiting: "_Waiting") -> None:
        packet, origin, begins_part = waiting.packet, waiting.origin, waiting.begins_part
        dts = packet.dts if packet.dts is not None else packet.pts
        pts = packet.pts if packet.pts is not None else packet.dts
        assert dts is not None
        assert pts is not None
        length = 0 if self._container is None else dts - self._zero
        is_due = self._container is None or length >= self._segment_ticks or begins_part
        if (packet.is_keyframe and is_due) or length >= LONGEST * self._segment_ticks:
            self._end_file()
            self._open(dts, pts)
        if self._container is None:
            return
        self._origin = origin
        dts = max(dts - self._zero, self._last_dts + 1)
        self._last_dts = dts
        copy = Packet(bytes(packet))
        copy.pts, copy.dts = max(pts - self._zero, dts), dts
        copy.duration = packet.duration or 0
        copy.time_base = self._tick_s
        copy.is_keyframe = packet.is_keyframe
        copy.stream = self._track
        # Before it is handed over, which changes its time base.
        self._end = max(self._end, copy.pts + copy.duration)
        self._container.mux(copy)
        # What comes out ends before this packet: it begins the next fragment.
        self._hand_out(end=dts, is_last=False)

    def _end_file(self) -> None:
        if self._container is None:
            return
        last_sound = b"" if self._sound is None else self._sound.close()
        self._container.close()
        self._container = None
        self._hand_out(end=self._end, is_last=True, before=last_sound)

    def _open(self, dts: int, pts: int) -> None:
        self._first = pts
        self._zero, self._last_dts, self._end = dts, -1, 0
        self._ordinal += 1
        self._sink = MuxedBytes()
        self._container = av.open(self._sink, "w", format="mp4", options=FRAGMENTED)
        self._track = self._container.add_stream_from_template(self._stream)
        self._track.time_base = self._stream.time_base
        if self._sound is not None:
            self._container.start_encoding()
            self._header = self._sound.open(self._sink.take(), dts * self._tick_s)

    def _hand_out(self, *, end: int, is_last: bool, before: bytes = b"") -> None:
        data = self._sink.take()
        if self._sound is not None and (data or is_last):
            data = self._header + before + self._sound.fragments() + data
            self._header = b""
        if not data and not is_last:
            return
        start_s = float((self._first - self._origin) * self._tick_s)
        self._emit(
            RecordedBytes(
                ordinal=self._ordinal,
                start_s=start_s,
                end_s=start_s + float(end * self._tick_s),
                is_last=is_last,
                data=data,
            )
        )
