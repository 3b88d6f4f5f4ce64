"""Recording of a live feed: its packets as they come, in fragmented MP4 files of about a minute.

Nothing is decoded or encoded. A fragment is given out about every second, and a file holds its
header first: what was written of one plays, wherever it was cut off.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from engine.media.stamps import VideoPacket

SEGMENT_S: Final = 60.0
"""Least length of a file; it ends at the next keyframe."""
RECORDED_CODECS: Final = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg"})
"""Those that an MP4 file holds as they are."""
_FRAGMENT_US: Final = 1_000_000
_OPTIONS: Final = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": str(_FRAGMENT_US),
    "flush_packets": "1",
}


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


class FeedRecorder:
    """Writes packets of one stream into files, and hands out their bytes."""

    def __init__(
        self,
        stream: VideoStream,
        emit: Callable[[RecordedBytes], None],
        *,
        segment_s: float = SEGMENT_S,
    ) -> None:
        """Start before the first keyframe.

        Args:
            emit: Called with every fragment, on the thread that calls `take`.
        """
        self._stream = stream
        self._tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
        self._emit = emit
        self._segment_ticks = round(Fraction(segment_s) / self._tick_s)
        self._container: OutputContainer | None = None
        self._track: Any = None
        self._sink = _Sink()
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
        dts = packet.dts if packet.dts is not None else packet.pts
        pts = packet.pts if packet.pts is not None else packet.dts
        assert dts is not None
        assert pts is not None
        is_due = self._container is None or dts - self._zero >= self._segment_ticks
        if packet.is_keyframe and (is_due or begins_part):
            self.close()
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

    def close(self) -> None:
        """End the file that is open, if one is."""
        if self._container is None:
            return
        self._container.close()
        self._container = None
        self._hand_out(end=self._end, is_last=True)

    def _open(self, dts: int, pts: int) -> None:
        self._first = pts
        self._zero, self._last_dts, self._end = dts, -1, 0
        self._ordinal += 1
        self._sink = _Sink()
        self._container = av.open(self._sink, "w", format="mp4", options=_OPTIONS)
        self._track = self._container.add_stream_from_template(self._stream)
        self._track.time_base = self._stream.time_base

    def _hand_out(self, *, end: int, is_last: bool) -> None:
        data = self._sink.take()
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


class _Sink(io.RawIOBase):
    """Memory that is written to and taken away, without a way back."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self._data += bytes(data)
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        data = bytes(self._data)
        self._data.clear()
        return data
