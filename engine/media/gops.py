"""Groups of pictures on one clock: what must be decoded for the moments that are wanted.

A group starts at a keyframe, so it can be decoded on its own. Its packets say when each picture
is shown before any is decoded; so the groups that hold nothing wanted are skipped whole, and in
the others decoding stops at the last wanted picture.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.media.packets import VideoPacket

# Compressed packets held at once, twice over; x264's longest default group has 250.
_MAX_PACKETS = 600
_MAX_BYTES = 32 * 2**20

WantsFrame = Callable[[int, int], bool]
"""Whether a picture shown over the ticks `[start, end)` is to be decoded."""


@dataclass(frozen=True, slots=True)
class DisplaySlot:
    """A picture that is to come out of the decoder."""

    start: int
    end: int
    index: int
    """Of its packet in the group."""


@dataclass(slots=True)
class Gop:
    """Packets in decoding order; the first is a keyframe unless `continues`."""

    packets: list[VideoPacket]
    continues: bool = False
    """Goes on where the one before was cut off."""
    cut: bool = False
    """Too long to be held: the rest follows as another."""


@dataclass(slots=True)
class TimedGop:
    """A group whose pictures have their places on the clock."""

    gop: Gop
    shift: int
    """Added to the file's ticks, gives ticks from the first frame."""
    key: int
    times: list[tuple[int, int]]
    """Start and packet index of each picture, strictly rising; what came too late is left out."""

    @property
    def first(self) -> int:
        """When its first picture is shown, leading ones included."""
        return self.times[0][0] if self.times else self.key

    def leading(self, wanted: WantsFrame) -> bool:
        """Whether a wanted picture is shown before the keyframe, and needs the group before."""
        early = [start for start, _ in self.times if start < self.key]
        return any(itertools.starmap(wanted, itertools.pairwise([*early, self.key])))

    def shown(self, after: int, wanted: WantsFrame) -> list[DisplaySlot]:
        """The wanted pictures.

        Args:
            after: When the first picture after this group is shown.
        """
        starts = [start for start, _ in self.times] + [after]
        return [
            DisplaySlot(start, end, index)
            for (start, index), end in zip(self.times, starts[1:], strict=True)
            if wanted(start, end)
        ]


class Clock:
    """Turns a file's time stamps into ticks from the first frame, whatever jumps they make."""

    def __init__(self, origin: int, *, frame_ticks: int, disorder: int, gap: int) -> None:
        """Start at a frame.

        Args:
            origin: Time stamp of the first frame that decodes.
            frame_ticks: Nominal length of a frame.
            disorder: A step back of up to this is disorder, and the frame is left out; beyond
                it the clock was set anew, and time goes on from where it was.
            gap: A frame that stands for longer counts as a gap.
        """
        self.gaps = 0
        self._shift = -origin
        self._last = -1
        self._resumed: int | None = None
        self._frame_ticks = frame_ticks
        self._disorder = disorder
        self._gap = gap

    @property
    def last(self) -> int:
        """Start of the last picture placed; -1 before the first."""
        return self._last

    def place(self, gop: Gop) -> TimedGop:
        """Give the pictures of the next group their places."""
        stamps = {
            packet.pts: index
            for index, packet in enumerate(gop.packets)
            if packet.pts is not None and not packet.is_discard
        }
        key = gop.packets[0].pts
        if key is None:
            key = min(stamps, default=0)
        if stamps and min(stamps) + self._shift < self._last - self._disorder:
            self.gaps += 1
            self._shift = self._last + self._frame_ticks - min(stamps)
        times = [
            (stamp + self._shift, index)
            for stamp, index in sorted(stamps.items())
            if stamp + self._shift > self._last
        ]
        for start, _ in times:
            if self._last >= 0 and start - self._last > self._gap:
                self.gaps += 1
            self._last = start
        return TimedGop(gop, self._shift, key + self._shift, times)

    def resume(self, away: int) -> None:
        """A feed came back with a clock of its own, so many ticks after its last frame."""
        self.gaps += 1
        self._resumed = away

    def tick(self, raw: int | None) -> int | None:
        """The place of one frame, or `None` for a frame that came too late to be shown."""
        if self._last < 0:
            self._last = 0
            return 0
        if self._resumed is not None:
            start = self._last + max(1, self._resumed)
            self._shift, self._last, self._resumed = start - (raw or 0), start, None
            return start
        start = self._last + self._frame_ticks if raw is None else raw + self._shift
        if start <= self._last:
            if start > self._last - self._disorder:
                return None
            self.gaps += 1
            start = self._last + self._frame_ticks
            self._shift = start - (raw or 0)
        elif start - self._last > self._gap:
            self.gaps += 1
        self._last = start
        return start


def gops(packets: Iterator[VideoPacket], is_entry: Callable[[VideoPacket], bool]) -> Iterator[Gop]:
    """Cut packets before each one that decodes on its own.

    What precedes the first keyframe cannot be decoded and is left out.
    """
    held: list[VideoPacket] = []
    n_bytes, continues = 0, False
    for packet in packets:
        if packet.is_keyframe and (is_entry(packet) or not (held or continues)):
            if held:
                yield Gop(held, continues)
            held, n_bytes, continues = [], 0, False
        elif not held and not continues:
            continue
        held.append(packet)
        n_bytes += packet.size
        if len(held) >= _MAX_PACKETS or n_bytes >= _MAX_BYTES:
            yield Gop(held, continues, cut=True)
            held, n_bytes, continues = [], 0, True
    if held:
        yield Gop(held, continues)
