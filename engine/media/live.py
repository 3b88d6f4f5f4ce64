"""Frames of a camera that is filmed: in parts with a wall clock, beside their recording.

A part is an unbroken stretch of one connection, with a clock from 0 and a moment at which that
began. A new one begins where the old has become long, or where the camera's clock has drifted from
ours by more than a second: so every frame, every file of the recording and the wall clock agree.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from av.audio.stream import AudioStream

from engine.media.frame import Frame
from engine.media.recording import RECORDED_CODECS, FeedRecorder, RecordedBytes
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.sound_recording import can_record
from engine.media.source import MediaLimits
from engine.media.stamps import VideoPacket

PART_S: Final = 6 * 3600.0
"""Longest part: what is deleted by age goes part by part."""
MOST_DRIFT_S: Final = 1.0
SETTLES_S: Final = 30.0
"""While a part is young its beginning is corrected; cameras send what they had in store first."""
_LEAST_CORRECTION_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """Choices of how a camera is filmed."""

    records: bool = True
    records_sound: bool = True
    """Whether sound is recorded beside the pictures."""
    segment_s: float = 60.0
    part_s: float = PART_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePart:
    """A part of the timeline, as far as it is known."""

    ordinal: int
    """Counted over a connection."""
    start_at_s: float
    """When its first frame was filmed, in seconds since 1970 by this machine's clock."""


class LiveReader:
    """The sampled frames of a camera, each on the clock of its part."""

    def __init__(
        self,
        uri: str,
        config: SamplingConfig,
        live: LiveConfig,
        *,
        limits: MediaLimits,
        on_packet: Callable[[FrameReader], None],
        on_part: Callable[[LivePart], None],
        on_recorded: Callable[[RecordedBytes], None],
    ) -> None:
        """Connect, and decode the first frame.

        Args:
            on_part: Called when a part begins, before anything of it, and when its beginning is
                known better.
            on_recorded: Called with the next bytes of the recording.
        """
        # Whoever films decides when to connect again: each connection is a part of its own.
        limits = replace(limits, reconnect_attempts=0)
        self._reader = FrameReader(uri, config, limits=limits, on_packet=on_packet, films=True)
        self._live, self._on_part = live, on_part
        decoder = self._reader.decoder
        stream = decoder.stream
        self._tick_s, self._origin = float(decoder.tick_s), decoder.origin
        codec = self._reader.info.video_codec
        is_recorded = live.records and codec in RECORDED_CODECS
        sound = self._sound_stream() if is_recorded and live.records_sound else None
        self._recorder = (
            FeedRecorder(stream, on_recorded, segment_s=live.segment_s, sound=sound)
            if is_recorded
            else None
        )
        self.is_recorded = self._recorder is not None
        self._parts = PartClock(live.part_s)
        self._begins: deque[tuple[int, float]] = deque()
        """Parts whose frames are still to come out of the decoder, with their beginnings."""
        self._shown, self._shown_from_s = 0, 0.0
        decoder.film(self._take)
        if self._recorder is not None and sound is not None:
            decoder.packets.hear(sound, self._recorder.take_sound)

    @property
    def reader(self) -> FrameReader:
        """The reader with its facts and counts."""
        return self._reader

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        """Yield the frames, each with the ordinal of its part."""
        try:
            for frame in self._reader:
                while self._begins and frame.pts_s >= self._begins[0][1] - self._tick_s / 2:
                    self._shown, self._shown_from_s = self._begins.popleft()
                pts_s = max(0.0, frame.pts_s - self._shown_from_s)
                yield self._shown, replace(frame, pts_s=pts_s)
        finally:
            self.close()

    def close(self) -> None:
        """End the file that is open; may be called twice."""
        if self._recorder is not None:
            self._recorder.close()
        self._reader.close()

    def _sound_stream(self) -> AudioStream | None:
        """Return the sound that is recorded; what cannot be is said in the warnings."""
        streams = self._reader.sound_streams
        known = [stream for stream in streams if can_record(stream)]
        if streams and not known:
            self._reader.decoder.warn("its sound is not recorded: no decoder for it is accepted")
        return known[0] if known else None

    def _take(self, packet: VideoPacket) -> None:
        """Take the next packet on its way to the decoder."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or stamp < self._origin:
            return
        is_first = self._parts.part is None
        start = self._origin if is_first else stamp
        known = self._parts.part
        part = self._parts.take(
            start * self._tick_s, self._zero_at_s(), may_begin=is_first or packet.is_keyframe
        )
        begins = known is None or part.ordinal != known.ordinal
        if begins:
            self._part_origin = start
            self._begins.append((part.ordinal, (start - self._origin) * self._tick_s))
        if part != known:
            self._on_part(part)
        if self._recorder is not None:
            self._recorder.take(packet, origin=self._part_origin, begins_part=begins)

    _part_origin = 0

    def _zero_at_s(self) -> float:
        """Return when a picture of time stamp 0 was filmed, as far as is known by now."""
        stamps = self._reader.decoder.packets.feed_stamps
        assert stamps is not None, "a live source has them"
        return stamps.zero_at_s + time.time() - time.monotonic()


class PartClock:
    """Beginnings of the parts of a connection, and when they were filmed.

    How old a part is, its stamps tell: the clock of this machine may be set back by an hour.
    """

    def __init__(self, part_s: float) -> None:
        """Begin before the first part.

        Args:
            part_s: Longest part.
        """
        self._part_s = part_s
        self._from_s = 0.0
        self.part: LivePart | None = None
        """The latest part, as far as it is known."""

    def take(self, stamp_s: float, zero_at_s: float, *, may_begin: bool) -> LivePart:
        """Return the part of the next packet, which may begin with it or be known better by it.

        Args:
            stamp_s: Its time on the clock of the connection.
            zero_at_s: When that clock was at 0, in seconds since 1970, as far as is known by now.
            may_begin: Whether a part may begin with it.
        """
        part = self.part
        if part is None:
            return self._begin(0, stamp_s, zero_at_s)
        length_s = stamp_s - self._from_s
        start_at_s = zero_at_s + self._from_s
        off_s = abs(start_at_s - part.start_at_s)
        is_old = length_s > SETTLES_S
        if may_begin and (length_s >= self._part_s or (is_old and off_s > MOST_DRIFT_S)):
            return self._begin(part.ordinal + 1, stamp_s, zero_at_s)
        if not is_old and off_s > _LEAST_CORRECTION_S:
            part = self.part = replace(part, start_at_s=start_at_s)
        return part

    def _begin(self, ordinal: int, stamp_s: float, zero_at_s: float) -> LivePart:
        self._from_s = stamp_s
        self.part = LivePart(ordinal=ordinal, start_at_s=zero_at_s + stamp_s)
        return self.part
