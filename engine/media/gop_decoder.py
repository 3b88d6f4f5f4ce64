"""Decoding of groups of pictures, one after the other, each from a clean state.

Three savings, none of which changes a picture: what follows the last wanted picture of a group is
not decoded; pictures that no other refers to are dropped unless wanted; where only keyframes are
wanted, they run through the decoder's threads without waiting for each other.

A group in which anything is damaged is decoded again on one thread: with several, FFmpeg loses
intact frames near an error.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from engine.media.clock import DisplaySlot, TimedGop, WantsFrame
from engine.media.packets import Counts
from engine.media.stamps import VideoPacket

# Decoders that can be told, packet by packet, to drop pictures to which no other refers.
_DROPS_UNREFERENCED = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")
# These code pictures that are never shown, so a packet without a frame is no damage.
_HIDING_CODECS = ("vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d")
_MAX_KEYFRAMES = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame and the half-open stretch of the clock over which it is shown."""

    frame: VideoFrame
    start: int
    """Ticks of the stream from the first frame."""
    end: int


class _DamageError(Exception):
    """Something in the current group did not decode as it should."""


class GopDecoder:
    """A codec context that is fed groups, and the wanted pictures of what comes out."""

    def __init__(self, context: VideoCodecContext, counts: Counts, wanted: WantsFrame) -> None:
        self._context = context
        self._counts = counts
        self._wanted = wanted
        self._can_drop_unreferenced = context.name in _DROPS_UNREFERENCED
        self._may_hide_pictures = context.name in _HIDING_CODECS
        self._pending: deque[DisplaySlot] = deque()
        self._latest: tuple[int, VideoFrame] | None = None
        self._last_start = -1
        """Of the last picture given out."""
        self._shift = 0
        self._fed: list[list[VideoPacket]] = []
        """Packets sent to the decoder since it was clean, kept for decoding them once more."""
        self._state: Literal["clean", "primed", "keyframes"] = "clean"
        """Primed: the next group may refer to the last; keyframes: only those were sent."""

    def decode(
        self, group: TimedGop, slots: list[DisplaySlot], *, feeds_next: bool
    ) -> Iterator[Picture]:
        """Decode the wanted pictures of a group; they may come out with a later group.

        Args:
            slots: When the wanted pictures are shown, in order.
            feeds_next: Leading pictures of the next group refer to this one, so all of it is
                decoded and the decoder keeps its state.
        """
        if not slots and not feeds_next:
            return
        is_primed = self._state == "primed"
        keyframe_only = not is_primed and not feeds_next and all(slot.index == 0 for slot in slots)
        keeps_state = is_primed or (keyframe_only and len(self._fed) < _MAX_KEYFRAMES)
        if not keeps_state or group.shift != self._shift:
            yield from self.settle()
        self._shift = group.shift
        packets = self._packets_to_send(group, slots, whole=feeds_next)
        self._fed = [*self._fed, packets] if keyframe_only else [*self._fed[-1:], packets]
        self._pending.extend(slots)
        needed = {id(group.gop.packets[slot.index]) for slot in slots}
        try:
            for packet in packets:
                self._drop_unreferenced(id(packet) not in needed)
                yield from self._match(self._send(self._context, packet), strict=True)
        except _DamageError:
            yield from self._decode_again(keyframes_only=keyframe_only)
            return
        self._state = "keyframes" if keyframe_only else "primed"
        if not keyframe_only and not feeds_next:
            yield from self.settle()

    def settle(self) -> Iterator[Picture]:
        """Drain the decoder and leave it clean."""
        if self._state == "clean" and not self._pending:
            return
        try:
            self._drop_unreferenced(False)
            yield from self._match(self._send(self._context, None), strict=True)
            if self._pending and not self._may_hide_pictures:
                raise _DamageError
        except _DamageError:
            yield from self._decode_again(keyframes_only=self._state == "keyframes")
            return
        yield from self._clean()

    def _packets_to_send(
        self, group: TimedGop, slots: list[DisplaySlot], *, whole: bool
    ) -> list[VideoPacket]:
        """Return the packets up to the last one needed, without those that cannot be decoded."""
        packets = group.gop.packets
        n = len(packets) if whole else max(slot.index for slot in slots) + 1
        if self._state == "primed":
            return packets[:n]
        # Leading pictures refer to the group before, which was not decoded.
        return packets[:1] + [
            packet
            for packet in packets[1:n]
            if packet.pts is None or packet.pts + group.shift > group.key
        ]

    def _drop_unreferenced(self, drop: bool) -> None:
        if self._can_drop_unreferenced:
            self._context.skip_frame = "NONREF" if drop else "DEFAULT"

    def _send(self, context: VideoCodecContext, packet: VideoPacket | None) -> list[VideoFrame]:
        try:
            frames = context.decode(packet)
        except av.FFmpegError as error:
            raise _DamageError from error
        self._counts.decoded += len(frames)
        return frames

    def _match(self, frames: list[VideoFrame], *, strict: bool) -> Iterator[Picture]:
        """Yield the wanted pictures; for a missing one, the last before it stands in.

        Args:
            strict: A missing or damaged frame is an error.
        """
        for frame in frames:
            if strict and frame.is_corrupt:
                raise _DamageError
            if frame.pts is None:
                continue
            start = frame.pts + self._shift
            while self._pending and self._pending[0].start < start:
                if strict and not self._may_hide_pictures:
                    raise _DamageError
                yield from self._picture(self._pending.popleft())
            self._latest = (start, frame)
            if self._pending and self._pending[0].start == start:
                yield from self._picture(self._pending.popleft())

    def _picture(self, slot: DisplaySlot) -> Iterator[Picture]:
        if self._latest is None:
            return
        start, frame = self._latest
        if start > self._last_start and self._wanted(start, slot.end):
            self._last_start = start
            yield Picture(frame, start, slot.end)

    def _decode_again(self, *, keyframes_only: bool) -> Iterator[Picture]:
        """Decode the kept packets once more on one thread, counting damage."""
        self._latest = None
        careful = _single_threaded(self._context)
        for packets in self._fed:
            if keyframes_only:
                careful.flush_buffers()
            for packet in packets:
                yield from self._match(self._send_damaged(careful, packet), strict=False)
            if keyframes_only:
                yield from self._match(self._send_damaged(careful, None), strict=False)
        if not keyframes_only:
            yield from self._match(self._send_damaged(careful, None), strict=False)
        yield from self._clean()

    def _send_damaged(
        self, context: VideoCodecContext, packet: VideoPacket | None
    ) -> list[VideoFrame]:
        try:
            frames = self._send(context, packet)
        except _DamageError:
            self._counts.damaged += 1
            return []
        self._counts.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def _clean(self) -> Iterator[Picture]:
        while self._pending:
            yield from self._picture(self._pending.popleft())
        self._context.flush_buffers()
        self._latest = None
        self._fed = []
        self._state = "clean"


def _single_threaded(context: VideoCodecContext) -> VideoCodecContext:
    """Return a second decoder for the same stream, with one thread."""
    careful = CodecContext.create(context.name, "r")
    assert isinstance(careful, VideoCodecContext)
    careful.extradata = context.extradata
    careful.width, careful.height = context.width, context.height
    if context.pix_fmt is not None:
        careful.pix_fmt = context.pix_fmt
    careful.thread_type, careful.thread_count = "NONE", 1
    careful.options = dict(context.options)
    return careful
