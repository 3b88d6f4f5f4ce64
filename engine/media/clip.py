"""Cutting of a span out of a video, without re-encoding where possible.

A copy has to start at a keyframe, so it may start earlier than the span; the span that it really
holds is returned. Where packets cannot be copied (no time stamps, or a codec that MP4 does not
hold), the span is re-encoded as H.264, exactly.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Discard, Stream

from engine.errors import MediaRefusedError
from engine.files import atomic_write
from engine.media.decode import VideoDecoder
from engine.media.encode import even, write_video
from engine.media.formats import AUDIO_CODECS
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits, Source, open_source
from engine.media.stamps import STAMP_BITS, AnyPacket, PictureStamps, SoundStamps
from engine.records import TimeSpan

# Of the packets from a keyframe to the start of a clip; beyond it the clip is encoded anew.
_MAX_HELD_BYTES = 64 * 2**20
# Fragments of our recordings hold a second, of one track after the other.
_SOUND_BEHIND_S = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The content of a clip file."""

    span: TimeSpan
    """On the clock of the video it was cut from."""
    reencoded: bool


def cut(uri: str, span: TimeSpan, path: Path, *, limits: MediaLimits | None = None) -> Cut:
    """Write the span as MP4.

    Args:
        span: Seconds from the first frame.
        path: Of the clip; the file appears when it is whole.
    Raises:
        ValueError: The span is empty.
        MediaRefusedError: No frame lies in it.
    """
    limits = limits or MediaLimits()
    if span.duration_s <= 0:
        raise ValueError(f"span must not be empty: {span.start_s}..{span.end_s}")
    try:
        return Cut(span=_copied(uri, span, path, limits), reencoded=False)
    # ValueError: PyAV's word for a codec that MP4 does not hold.
    except (av.FFmpegError, ValueError, _CannotCopyError):
        return Cut(span=_encoded(uri, span, path, limits), reencoded=True)


class _CannotCopyError(Exception):
    """The packets of this source cannot be put into MP4 as they are."""


def _copied(uri: str, span: TimeSpan, path: Path, limits: MediaLimits) -> TimeSpan:
    with open_source(uri, limits) as source:
        decoder = VideoDecoder(source, limits, gap_s=SamplingConfig().gap_s)
        if source.is_live or decoder.lacks_stamps:
            raise _CannotCopyError
    # Opened again: the decoder has read the first packets.
    with (
        open_source(uri, limits) as source,
        atomic_write(path, single_writer=True) as part,
        av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        return _Copy(source, decoder.first_s, out).run(span)


class _Copy:
    """A pass over the packets of picture and sound that copies those of a span."""

    def __init__(self, source: Source, origin_s: float, out: OutputContainer) -> None:
        self._source = source
        self._origin_s = origin_s
        sound = [
            stream
            for stream in source.container.streams.audio[:1]
            if stream.codec_context is not None and stream.codec_context.name in AUDIO_CODECS
        ]
        for stream in sound:
            stream.discard = Discard.default
        self._out = out
        self._out_streams: dict[int, Stream] = {
            stream.index: out.add_stream_from_template(stream) for stream in (source.stream, *sound)
        }
        self._video_index = source.stream.index
        container = source.container.format.name
        self._stamps: tuple[PictureStamps, SoundStamps] | None = None
        if container in STAMP_BITS:
            stamps = PictureStamps(container, source.stream)
            self._stamps = (stamps, SoundStamps(stamps))

    def run(self, span: TimeSpan) -> TimeSpan:
        """Copy from the keyframe at or before the start; return the span that was copied."""
        start_s = end_s = None
        for stamped in self._packets(span):
            packet = stamped.packet
            if packet.stream_index == self._video_index:
                start_s = stamped.shown_s if start_s is None else start_s
                end_s = max(end_s or 0.0, stamped.shown_s + stamped.lasts_s)
            base = round((start_s or 0.0) / stamped.tick_s)
            packet.pts, packet.dts = stamped.pts - base, stamped.dts - base
            packet.stream = self._out_streams[packet.stream_index]
            self._out.mux(packet)
        # Behind the end of the video, what was copied ends before the span begins.
        if start_s is None or end_s is None or end_s <= self._origin_s + span.start_s:
            raise _CannotCopyError
        return TimeSpan(start_s=start_s - self._origin_s, end_s=end_s - self._origin_s)

    def _packets(self, span: TimeSpan) -> Iterator["_Stamped"]:
        """Yield picture and sound of the span, the picture from a keyframe on."""
        start_s, end_s = self._origin_s + span.start_s, self._origin_s + span.end_s
        find = self._seek_keyframe if self._stamps is None else self._read_to_keyframe
        key, following = find(start_s)
        yield key
        # Sound may stand behind later pictures than those that it belongs to.
        reaches_s = end_s + (_SOUND_BEHIND_S if len(self._out_streams) > 1 else 0.0)
        for stamped in following:
            if stamped.packet.stream_index != self._video_index:
                if key.shown_s <= stamped.shown_s < end_s:
                    yield stamped
            elif stamped.decoded_s >= reaches_s:
                return
            elif stamped.decoded_s >= end_s:
                continue
            # Leading pictures refer to what was left out.
            elif stamped.shown_s >= key.shown_s:
                yield stamped

    def _seek_keyframe(self, start_s: float) -> tuple["_Stamped", Iterator["_Stamped"]]:
        """Return the keyframe at or before a moment, and what follows it."""
        container, stream = self._source.container, self._source.stream
        assert stream.time_base is not None
        back_s = 0.0
        while True:
            seek_s = max(self._origin_s, start_s - back_s)
            container.seek(int(seek_s / stream.time_base), stream=stream)
            packets = self._stamped()
            for stamped in packets:
                if stamped.packet.stream_index == self._video_index and stamped.packet.is_keyframe:
                    if stamped.shown_s <= start_s:
                        return stamped, packets
                    break
            if seek_s <= self._origin_s:
                raise _CannotCopyError
            back_s = 2 * back_s + 1

    def _read_to_keyframe(self, start_s: float) -> tuple["_Stamped", Iterator["_Stamped"]]:
        """Return the same by reading from the start: where a clock may step, no seek finds it."""
        held: list[_Stamped] = []
        n_bytes = 0
        packets = self._stamped()
        for stamped in packets:
            if stamped.packet.stream_index == self._video_index:
                if held and stamped.decoded_s > start_s:
                    return held[0], itertools.chain(held[1:], [stamped], packets)
                if stamped.packet.is_keyframe and stamped.shown_s <= start_s:
                    held, n_bytes = [], 0
                elif not held:
                    continue
            elif not held:
                continue
            held.append(stamped)
            n_bytes += stamped.packet.size
            if n_bytes > _MAX_HELD_BYTES:
                raise _CannotCopyError
        if not held:
            raise _CannotCopyError
        return held[0], iter(held[1:])

    def _stamped(self) -> Iterator["_Stamped"]:
        """Yield packets with both times; Matroska does not say when the first ones are decoded."""
        streams = [self._source.container.streams[index] for index in self._out_streams]
        undated: list[AnyPacket] = []
        for packet in self._source.container.demux(streams):
            if not packet.size:
                continue
            if self._stamps is not None:
                picture, sound = self._stamps
                is_picture = packet.stream_index == self._video_index
                (picture if is_picture else sound).correct(packet)
            if packet.dts is None and packet.stream_index == self._video_index:
                undated.append(packet)
                continue
            if undated and packet.dts is not None and packet.stream_index == self._video_index:
                step = max(1, packet.duration or 1)
                for index, first in enumerate(undated):
                    first.dts = packet.dts - (len(undated) - index) * step
                    yield _Stamped.of(first)
                undated = []
            yield _Stamped.of(packet)
        if undated:
            raise _CannotCopyError


@dataclass(frozen=True, slots=True)
class _Stamped:
    """A packet with both of its times."""

    packet: AnyPacket
    pts: int
    dts: int
    tick_s: Fraction

    @classmethod
    def of(cls, packet: AnyPacket) -> "_Stamped":
        if packet.pts is None or packet.dts is None:
            raise _CannotCopyError
        return cls(packet, packet.pts, packet.dts, packet.time_base)

    @property
    def shown_s(self) -> float:
        return float(self.pts * self.tick_s)

    @property
    def decoded_s(self) -> float:
        return float(self.dts * self.tick_s)

    @property
    def lasts_s(self) -> float:
        return float((self.packet.duration or 0) * self.tick_s)


def _encoded(uri: str, span: TimeSpan, path: Path, limits: MediaLimits) -> TimeSpan:
    config = SamplingConfig(fps=limits.max_fps, thin_static=False, max_side_px=None)
    times: list[float] = []
    with FrameReader(uri, config, limits=limits) as reader:
        fps = reader.info.fps or 25.0

        def frames() -> Iterator[Frame]:
            for frame in reader:
                if frame.pts_s >= span.end_s:
                    return
                if span.contains(frame.pts_s):
                    times.append(frame.pts_s)
                    yield frame

        try:
            write_video(path, (even(frame, since_s=times[0]) for frame in frames()), fps)
        except ValueError as error:
            raise MediaRefusedError(
                reader.info.uri,
                f"no frame lies between {span.start_s:.3f} and {span.end_s:.3f} s",
                hint="choose a span inside the video",
            ) from error
    return TimeSpan(start_s=times[0], end_s=times[-1] + float(1 / Fraction(fps)))
