"""Decodes one group of pictures after the other, each from a clean state.

Three savings, none of which changes a picture: what follows the last wanted picture of a group is
not decoded; pictures that no other refers to are dropped unless wanted; where only keyframes are
wanted, they run through the decoder's threads without waiting for each other.

A group in which anything is damaged is decoded again by one careful thread: with several, FFmpeg
loses intact frames near an error.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from engine.media.gops import DisplaySlot, TimedGop, WantsFrame
from engine.media.packets import Counts, VideoPacket

# Decoders that can be told, packet by packet, to drop pictures no other picture refers to.
_DROPS_UNREFERENCED = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")
# These code pictures that are never shown, so a packet without a frame is no damage.
_HIDES_PICTURES = ("vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d")
_MAX_LONE_KEYFRAMES = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame and the half-open stretch of the clock over which it is shown."""

    frame: VideoFrame
    start: int
    """Ticks of the stream from the first frame."""
    end: int


class _DamageError(Exception):
    """Something in the group at hand did not decode as it should."""


class GopDecoder:
    """Feeds groups to one codec context and picks the wanted pictures from what comes out."""

    def __init__(self, context: VideoCodecContext, counts: Counts, wanted: WantsFrame) -> None:
        self._context = context
        self._counts = counts
        self._wanted = wanted
        self._thins = context.name in _DROPS_UNREFERENCED
        self._hides = context.name in _HIDES_PICTURES
        self._waiting: deque[DisplaySlot] = deque()
        self._latest: tuple[int, VideoFrame] | None = None
        self._given = -1
        self._shift = 0
        self._fed: list[list[VideoPacket]] = []
        """What the decoder was given since it was clean, for doing it again."""
        self._state = "clean"

    def decode(
        self, placed: TimedGop, shown: list[DisplaySlot], *, feeds_next: bool
    ) -> Iterator[Picture]:
        """Decode what is wanted of a group; pictures may come out with a later one.

        Args:
            feeds_next: Pictures at the head of the next group refer to this one, so all of it
                is decoded and the decoder is left as it is.
        """
        if not shown and not feeds_next:
            return
        lone = self._state != "primed" and not feeds_next and all(s.index == 0 for s in shown)
        stays = self._state == "primed" or (lone and len(self._fed) < _MAX_LONE_KEYFRAMES)
        if not stays or placed.shift != self._shift:
            yield from self.settle()
        self._shift = placed.shift
        feed = self._to_feed(placed, shown, whole=feeds_next)
        self._fed = [*self._fed, feed] if lone else [*self._fed[-1:], feed]
        self._waiting.extend(shown)
        needed = {id(placed.gop.packets[s.index]) for s in shown}
        try:
            for packet in feed:
                self._drop_unreferenced(id(packet) not in needed)
                yield from self._match(self._send(self._context, packet), strict=True)
        except _DamageError:
            yield from self._again(lone=lone)
            return
        self._state = "lone" if lone else "primed"
        if not lone and not feeds_next:
            yield from self.settle()

    def settle(self) -> Iterator[Picture]:
        """Get out what is still inside, and leave the decoder clean."""
        if self._state == "clean" and not self._waiting:
            return
        try:
            self._drop_unreferenced(False)
            yield from self._match(self._send(self._context, None), strict=True)
            if self._waiting and not self._hides:
                raise _DamageError
        except _DamageError:
            yield from self._again(lone=self._state == "lone")
            return
        yield from self._clean()

    def _to_feed(
        self, placed: TimedGop, shown: list[DisplaySlot], *, whole: bool
    ) -> list[VideoPacket]:
        packets = placed.gop.packets
        n = len(packets) if whole else max(s.index for s in shown) + 1
        if self._state == "primed":
            return packets[:n]
        # Leading pictures refer to the group before, which was not decoded.
        return packets[:1] + [
            packet
            for packet in packets[1:n]
            if packet.pts is None or packet.pts + placed.shift > placed.key
        ]

    def _drop_unreferenced(self, drop: bool) -> None:
        if self._thins:
            self._context.skip_frame = "NONREF" if drop else "DEFAULT"

    def _send(self, context: VideoCodecContext, packet: VideoPacket | None) -> list[VideoFrame]:
        try:
            frames = context.decode(packet)
        except av.FFmpegError as error:
            raise _DamageError from error
        self._counts.decoded += len(frames)
        return frames

    def _match(self, frames: list[VideoFrame], *, strict: bool) -> Iterator[Picture]:
        """Give out the wanted ones; where one is missing, the last before it stands in.

        Args:
            strict: A missing or damaged frame is an error.
        """
        for frame in frames:
            if strict and frame.is_corrupt:
                raise _DamageError
            if frame.pts is None:
                continue
            start = frame.pts + self._shift
            while self._waiting and self._waiting[0].start < start:
                if strict and not self._hides:
                    raise _DamageError
                yield from self._give(self._waiting.popleft())
            self._latest = (start, frame)
            if self._waiting and self._waiting[0].start == start:
                yield from self._give(self._waiting.popleft())

    def _give(self, shown: DisplaySlot) -> Iterator[Picture]:
        if self._latest is None:
            return
        start, frame = self._latest
        if start > self._given and self._wanted(start, shown.end):
            self._given = start
            yield Picture(frame, start, shown.end)

    def _again(self, *, lone: bool) -> Iterator[Picture]:
        """Decode what was fed once more, with care, counting what is damaged."""
        self._latest = None
        careful = _careful(self._context)
        for group in self._fed:
            if lone:
                careful.flush_buffers()
            for packet in group:
                yield from self._match(self._send_damaged(careful, packet), strict=False)
            if lone:
                yield from self._match(self._send_damaged(careful, None), strict=False)
        if not lone:
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
        while self._waiting:
            yield from self._give(self._waiting.popleft())
        self._context.flush_buffers()
        self._latest = None
        self._fed = []
        self._state = "clean"


def _careful(context: VideoCodecContext) -> VideoCodecContext:
    """A second decoder for the same stream, with one thread."""
    careful = CodecContext.create(context.name, "r")
    assert isinstance(careful, VideoCodecContext)
    careful.extradata = context.extradata
    careful.width, careful.height = context.width, context.height
    if context.pix_fmt is not None:
        careful.pix_fmt = context.pix_fmt
    careful.thread_type, careful.thread_count = "NONE", 1
    careful.options = dict(context.options)
    return careful
