"""Decoding of a source: the wanted pictures, with exact times, in presentation order.

Files whose packets carry time stamps are decoded group by group (`gop_decoder.py`), each from a
clean state, so that a picture never depends on where reading started. Feeds, and files without
time stamps, are decoded from end to end.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaRefusedError, UnreachableError
from engine.media.clock import Clock, TimedGop, WantsFrame
from engine.media.gop_decoder import GopDecoder, Picture
from engine.media.gops import split_into_gops
from engine.media.packets import Counts, PacketReader, starts_gradual_refresh, until_lost
from engine.media.source import MediaLimits, Source, check_duration
from engine.media.stamps import VideoPacket, nominal_frame_ticks

# Packets read before a file counts as one with time stamps.
_PEEKED_PACKETS = 64
# Packets after which a file that yielded no frame is given up.
_MAX_SILENT_PACKETS = 2000
# AVI numbers its packets but does not say in which order they are shown; this many frames tell
# whether the numbers fit.
_MAX_REORDERED = 17
_DISORDER_S = 1.0
# A reordered stream starts with a packet that is shown up to 16 frames later; that is no loss.
_LATE_START_S = 0.25
# Above this size a second and third decoder thread would each hold a few pictures of 50 MB.
_THREADED_PX = 4096 * 2304
# These containers skip in silence what they cannot read; others report it.
_SILENT_CONTAINERS = ("mpegts", "mpeg")
_UNREADABLE_TAIL = 0.1
_NEARLY_ALL = 0.99
# A recorder fills its last packs, of 2048 bytes each, with padding.
_PADDING_BYTES = 8192
# Containers with one index over all frames, in which a seek lands where it should.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


class VideoDecoder:
    """A single pass over a source; opening it decodes the first frame."""

    def __init__(self, source: Source, limits: MediaLimits, *, gap_s: float) -> None:
        """Find the first frame, which starts the clock.

        Raises:
            MediaRefusedError: Nothing decodes.
        """
        self.counts = Counts()
        self.warnings: tuple[str, ...] = ()
        self.tick_s = Fraction(source.stream.time_base or Fraction(1, 90_000))
        self.packets = PacketReader(source, self.counts)
        self._source = source
        self._limits = limits
        self._context = source.stream.codec_context
        _set_threads(self._context)
        self._frame_ticks = nominal_frame_ticks(source.stream, source.container.format.name)
        self._counts_frames = source.container.format.name == "avi"
        self._stamps_groups = source.container.format.name == "mpeg"
        self._peeked: list[VideoPacket] = []
        self.first = self._first_frame()
        if self.lacks_stamps and self._stamps_groups:
            # What the header says of the rate is guessed from the few stamps there are.
            durations = {packet.duration or 0 for packet in self._peeked if packet.size}
            self._frame_ticks = max(durations, default=0) or self._frame_ticks
        stamp = self._stamp(self.first)
        self.first_s = float(stamp * self.tick_s) if stamp is not None else 0.0
        """Time of the first frame on the file's own clock; 0 where it has none."""
        self._note_start()
        self._origin = stamp or 0
        self._clock = Clock(
            self._origin,
            frame_ticks=self._frame_ticks,
            disorder=round(_DISORDER_S / self.tick_s),
            gap=round(gap_s / self.tick_s),
        )
        self.end = 0
        """Tick up to which pictures were timed."""
        self.last_end: int | None = None
        """Tick at which the source's last picture ends; `None` while that is not known."""
        self._at_keyframes = 0
        """Ticks in which keyframes alone were decoded."""

    @property
    def stream(self) -> VideoStream:
        """The stream that is decoded."""
        return self._source.stream

    @property
    def origin(self) -> int:
        """Time stamp of the first frame."""
        return self._origin

    def film(self, tap: Callable[[VideoPacket], None]) -> None:
        """Hand on every packet of a live feed before it is decoded.

        From then on pictures of another size end the connection: a recording holds one.
        """
        self._tap = tap
        self._fixed_size = (self.first.width, self.first.height)

    _tap: Callable[[VideoPacket], None] | None = None
    _fixed_size: tuple[int, int] | None = None

    @property
    def last(self) -> int:
        """Start of the last picture timed, in ticks; -1 before the first."""
        return self._clock.last

    def pictures(self, wanted: WantsFrame, *, keyframe_ticks: int = 0) -> Iterator[Picture]:
        """Yield the wanted pictures, decoding little else.

        Args:
            wanted: Asked for the stretch over which each picture is shown.
            keyframe_ticks: Where keyframes follow each other within this, one stands for all that
                is shown up to the next, and nothing else is decoded there.
        Raises:
            LimitExceededError: The file goes on for longer than allowed.
        """
        packets = itertools.chain(self._peeked, self.packets)
        self._peeked, self._keyframe_ticks = [], keyframe_ticks
        if self._source.is_live:
            return self._live(packets, wanted)
        if self.lacks_stamps:
            return self._end_to_end(packets, wanted)
        return self._group_by_group(packets, wanted)

    def jump(self, tick: int) -> None:
        """Seek the group that holds a tick, if the container has an index; else do nothing."""
        is_indexed = self._source.container.format.name in _INDEXED and self._source.feed is None
        if not is_indexed or self.lacks_stamps:
            return
        stamp = self._origin + tick
        back = 0
        while stamp - back > self._origin:
            self._source.container.seek(stamp - back, stream=self._source.stream)
            self.packets.restart()
            head = next((packet for packet in self.packets if packet.is_keyframe), None)
            reached = head is not None and head.pts is not None and head.pts <= stamp
            if head is not None and reached and self._is_entry(head):
                self._peeked = [head]
                return
            back = 2 * back or round(1 / self.tick_s)
        self._source.container.seek(self._origin, stream=self._source.stream)
        self.packets.restart()
        self._peeked = []

    def add_end_warnings(self, duration_s: float | None) -> None:
        """Add the warnings that can only be given at the end.

        Args:
            duration_s: The header's word; `None` where it gives none. It counts nothing where the
                clock was set anew on the way.
        """
        end_s = float(self.end * self.tick_s)
        if self._keyframe_ticks:
            self.warn(self._keyframe_note())
        if self.counts.damaged:
            self.warn(f"damaged packets or frames: {self.counts.damaged}")
        is_believed = duration_s is not None and not self.packets.clock_resets
        if (
            is_believed
            and duration_s is not None
            and duration_s - end_s > max(1.0, duration_s / 20)
        ):
            self.warn(
                f"the header promises {duration_s:.1f} s, but the picture ends at {end_s:.1f} s"
            )
        if self._source.container.format.name in _SILENT_CONTAINERS:
            unread_bytes = self._source.container.size - self.packets.read_up_to
            unread = unread_bytes / max(1, self._source.container.size)
            if unread > _UNREADABLE_TAIL and unread_bytes > _PADDING_BYTES:
                self.warn(f"the last {unread:.0%} of the file hold nothing that can be read")

    def _keyframe_note(self) -> str:
        """Return how much of the source was read at its keyframes, as a sentence."""
        longest_s = float(self._keyframe_ticks * self.tick_s)
        share = self._at_keyframes / max(1, self.end)
        if share > _NEARLY_ALL:
            return "keyframes alone were decoded, each at its own time"
        apart = f"keyframes lie more than {longest_s:.3g} s apart"
        if share <= 0:
            return f"{apart}, so that it was read frame by frame"
        return f"keyframes alone were decoded in {share:.0%} of it; in the rest {apart}"

    def check_duration(self, duration_s: float) -> None:
        """Refuse a file that is longer than allowed; a live feed may go on."""
        if not self._source.is_live:
            check_duration(self._source.uri, duration_s, self._limits)

    def _first_frame(self) -> VideoFrame:
        """Return the first intact frame; the packets read for it are kept, to be decoded again."""
        first: VideoFrame | None = None
        frames: list[VideoFrame] = []
        damaged = self.counts.damaged
        for packet in itertools.islice(self.packets, _MAX_SILENT_PACKETS):
            self._peeked.append(packet)
            if first is None or (self._counts_frames and len(frames) < _MAX_REORDERED):
                frames += (frame for frame in self._send(packet) if not frame.is_corrupt)
                first = next(iter(frames), None)
            # A camera may send a picture a second: its first is not waited for.
            n_peeked = 1 if self._source.is_live else _PEEKED_PACKETS
            if first is not None and len(self._peeked) >= n_peeked:
                break
        if first is None:
            raise MediaRefusedError(
                self._source.uri,
                "no frame of it could be decoded",
                hint="it may be damaged or encrypted; try to play it, then convert it to H.264",
            )
        self._context.flush_buffers()
        self.counts.decoded, self.counts.damaged = 0, damaged
        stamps = [frame.pts for frame in frames if frame.pts is not None]
        self.lacks_stamps = (
            first.pts is None
            or any(packet.pts is None for packet in self._peeked if packet.size)
            or stamps != sorted(set(stamps))
        )
        return first

    def _note_start(self) -> None:
        stamps = [
            packet.pts
            for packet in self._peeked
            if packet.pts is not None and not packet.is_discard
        ]
        if self.first.pts is None:
            self.warn("it has no time stamps; times follow its nominal frame rate")
        elif stamps and (late_s := float((self.first.pts - stamps[0]) * self.tick_s)) > (
            _LATE_START_S
        ):
            self.warn(
                f"it starts between keyframes: the first {late_s:.2f} s cannot be decoded,"
                " and times count from the first frame that can"
            )

    def _group_by_group(
        self, packets: Iterator[VideoPacket], wanted: WantsFrame
    ) -> Iterator[Picture]:
        keyframe_ticks = self._keyframe_ticks
        decoder = GopDecoder(self._context, self.counts, wanted)
        filled = (packet for packet in packets if packet.size)
        groups = map(self._clock.time_gop, split_into_gops(filled, self._is_entry))
        current = next(groups, None)
        while current is not None:
            following = next(groups, None)
            self.counts.gaps = self._clock.gaps + self.packets.clock_resets
            self.end = self._end_of(current, following)
            if following is None:
                self.last_end = self.end
            self.check_duration(float(self.end * self.tick_s))
            if current.gop.is_cut_off or current.gop.is_continuation:
                if not current.gop.is_continuation:
                    yield from decoder.settle()
                is_last = following is None or not following.gop.is_continuation
                yield from self._frame_by_frame(current, wanted, is_last=is_last)
            else:
                feeds_next = following is not None and following.wants_leading(wanted)
                slots = current.slots(self.end, wanted, keyframe_ticks=keyframe_ticks)
                if current.keyframe_suffices(self.end, keyframe_ticks):
                    self._at_keyframes += self.end - current.key
                yield from decoder.decode(current, slots, feeds_next=feeds_next)
            current = following
        yield from decoder.settle()

    def _is_entry(self, packet: VideoPacket) -> bool:
        """Return whether a packet marked as a keyframe decodes on its own."""
        if self._context.name != "h264":
            return True
        # Decoder settings of MP4 and Matroska start with version 1, start codes with 0.
        is_length_prefixed = (self._context.extradata or b"")[:1] == b"\x01"
        return not starts_gradual_refresh(bytes(packet), length_prefixed=is_length_prefixed)

    def _end_of(self, current: TimedGop, following: TimedGop | None) -> int:
        """Return the tick at which the last picture of a group gives way."""
        last, index = current.times[-1] if current.times else (current.key, 0)
        if following is not None:
            return max(following.first, last + 1)
        return last + (current.gop.packets[index].duration or self._frame_ticks)

    def _frame_by_frame(
        self, group: TimedGop, wanted: WantsFrame, *, is_last: bool
    ) -> Iterator[Picture]:
        """Decode all of a group that is too long to be held; one frame waits for its end."""
        packets: list[VideoPacket | None] = [*group.gop.packets]
        if is_last:
            packets.append(None)
        for packet in packets:
            for frame in self._send(packet):
                if frame.pts is None:
                    continue
                start = frame.pts + group.shift
                yield from self._held_picture(start, wanted)
                if self._held is None or start > self._held[0]:
                    self._held = (start, frame)
        if is_last:
            yield from self._held_picture(self.end, wanted)
            self._held = None
            self._context.flush_buffers()

    _held: tuple[int, VideoFrame] | None = None
    _keyframe_ticks = 0

    def _held_picture(self, end: int, wanted: WantsFrame) -> Iterator[Picture]:
        if self._held is not None and end > self._held[0] and wanted(self._held[0], end):
            yield Picture(self._held[1], self._held[0], end)

    def _end_to_end(self, packets: Iterator[VideoPacket], wanted: WantsFrame) -> Iterator[Picture]:
        """Decode every packet; a frame is given out when the next one says how long it lasts."""
        for packet in itertools.chain(packets, [None]):
            for frame in self._send(packet):
                start = self._clock.time_frame(self._stamp(frame))
                self.counts.gaps = self._clock.gaps + self.packets.clock_resets
                if start is None:
                    continue
                self.check_duration(float(start * self.tick_s))
                yield from self._held_picture(start, wanted)
                self._held = (start, frame)
        if self._held is not None:
            self.end = self._held[0] + (self._held[1].duration or self._frame_ticks)
            self.last_end = self.end
            yield from self._held_picture(self.end, wanted)

    def _live(self, packets: Iterator[VideoPacket], wanted: WantsFrame) -> Iterator[Picture]:
        """Decode a live feed; after a break it is opened again, until nobody answers any more.

        One that says that it has ended is done.
        """
        while True:
            yield from self._end_to_end(self._tapped(until_lost(packets)), wanted)
            if self._source.has_ended:
                return
            broke_at = time.monotonic()
            self._held = None
            self._source.reopen(self._limits, while_waiting=self.packets.beat)
            self._context = self._source.stream.codec_context
            _set_threads(self._context)
            self.packets.reopen()
            packets = self.packets
            self._clock.resume(round((time.monotonic() - broke_at) / self.tick_s))
            self.counts.gaps = self._clock.gaps + self.packets.clock_resets

    def _tapped(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        for packet in packets:
            if self._tap is not None and packet.size:
                self._tap(packet)
            yield packet

    def _check_size(self, frames: Iterable[VideoFrame]) -> None:
        for frame in frames:
            size = (frame.width, frame.height)
            if self._fixed_size not in {None, size}:
                raise UnreachableError(
                    f"{self._source.uri}: the picture has another size now, "
                    f"{frame.width}x{frame.height}"
                )

    def _send(self, packet: VideoPacket | None) -> list[VideoFrame]:
        try:
            frames = self._context.decode(packet)
        except EOFError:
            return []
        except av.FFmpegError:
            self.counts.damaged += 1
            return []
        self._check_size(frames)
        self.counts.decoded += len(frames)
        self.counts.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def _stamp(self, frame: VideoFrame) -> int | None:
        """Return the time stamp; where frames are only counted, the count when it came out."""
        if self.lacks_stamps and self._counts_frames:
            return frame.dts
        if self.lacks_stamps and self._stamps_groups:
            # A packet of a program stream may hold several pictures, and stamps the first alone:
            # the others follow it by duration. Their times of decoding are those of other pictures.
            return frame.pts
        return frame.pts if frame.pts is not None else frame.dts

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings += (text,)


def _set_threads(context: VideoCodecContext) -> None:
    """Take frame threads for ordinary pictures, one thread for huge ones, to bound memory."""
    if context.width * context.height > _THREADED_PX:
        context.thread_type, context.thread_count = "NONE", 1
    else:
        context.thread_type = "AUTO"
