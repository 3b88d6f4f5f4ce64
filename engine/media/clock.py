"""The clock of a source: time stamps of packets and frames as ticks from the first frame.

Packets say when each picture is shown before any is decoded. So a group that shows nothing wanted
is skipped whole, and in the others decoding stops at the last wanted picture.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from engine.media.gops import Gop

WantsFrame = Callable[[int, int], bool]
"""Whether a picture shown over the ticks `[start, end)` is to be decoded."""


@dataclass(frozen=True, slots=True)
class DisplaySlot:
    """The half-open stretch of the clock over which a picture is shown."""

    start: int
    end: int
    index: int
    """Of the picture's packet in its group."""


@dataclass(slots=True)
class TimedGop:
    """A group of pictures on the clock."""

    gop: Gop
    shift: int
    """The file's time stamp plus this gives ticks from the first frame."""
    key: int
    """Tick at which the keyframe is shown."""
    times: list[tuple[int, int]]
    """Start and packet index of each picture, strictly rising; what came too late is left out."""

    @property
    def first(self) -> int:
        """Tick at which the first picture is shown, leading ones included."""
        return self.times[0][0] if self.times else self.key

    def wants_leading(self, wanted: WantsFrame) -> bool:
        """Return whether a wanted picture is shown before the keyframe.

        Such a picture refers to the group before.
        """
        leading = [start for start, _ in self.times if start < self.key]
        return any(itertools.starmap(wanted, itertools.pairwise([*leading, self.key])))

    def keyframe_suffices(self, end: int, keyframe_ticks: int) -> bool:
        """Tell whether the keyframe stands for the group: it is short and shows it first."""
        is_short = 0 < end - self.key <= keyframe_ticks
        return is_short and bool(self.times) and self.times[0] == (self.key, 0)

    def slots(self, end: int, wanted: WantsFrame, *, keyframe_ticks: int = 0) -> list[DisplaySlot]:
        """Return the slots of the wanted pictures, in the order in which they are shown.

        Args:
            end: Tick at which the last picture of the group gives way.
            keyframe_ticks: The keyframe of a group no longer than this stands for all of it.
        """
        if self.keyframe_suffices(end, keyframe_ticks):
            return [DisplaySlot(self.key, end, 0)] if wanted(self.key, end) else []
        starts = [start for start, _ in self.times] + [end]
        return [
            DisplaySlot(start, next_start, index)
            for (start, index), next_start in zip(self.times, starts[1:], strict=True)
            if wanted(start, next_start)
        ]


class Clock:
    """Ticks from the first frame, always rising, whatever jumps the file's time stamps make."""

    def __init__(self, origin: int, *, frame_ticks: int, disorder: int, gap: int) -> None:
        """Start at a frame.

        Args:
            origin: Time stamp of the first frame that decodes.
            frame_ticks: Nominal length of a frame.
            disorder: A step back of up to this is disorder, and the frame is left out; after a
                larger one the file's clock was reset, and time continues from the last frame.
            gap: A frame shown for longer counts as a gap.
        """
        self.gaps = 0
        self._shift = -origin
        self._last = -1
        self._ticks_away: int | None = None
        self._frame_ticks = frame_ticks
        self._disorder = disorder
        self._gap = gap

    @property
    def last(self) -> int:
        """Start of the last picture timed; -1 before the first."""
        return self._last

    def time_gop(self, gop: Gop) -> TimedGop:
        """Time the pictures of the next group."""
        index_of_stamp = {
            packet.pts: index
            for index, packet in enumerate(gop.packets)
            if packet.pts is not None and not packet.is_discard
        }
        key = gop.packets[0].pts
        if key is None:
            key = min(index_of_stamp, default=0)
        if index_of_stamp and min(index_of_stamp) + self._shift < self._last - self._disorder:
            self.gaps += 1
            self._shift = self._last + self._frame_ticks - min(index_of_stamp)
        times = [
            (stamp + self._shift, index)
            for stamp, index in sorted(index_of_stamp.items())
            if stamp + self._shift > self._last
        ]
        for start, _ in times:
            if self._last >= 0 and start - self._last > self._gap:
                self.gaps += 1
            self._last = start
        return TimedGop(gop, self._shift, key + self._shift, times)

    def resume(self, ticks_away: int) -> None:
        """Continue with a feed that came back with a clock of its own.

        Args:
            ticks_away: From the last frame to the next.
        """
        self.gaps += 1
        self._ticks_away = ticks_away

    def time_frame(self, stamp: int | None) -> int | None:
        """Return the tick of the next frame, or `None` for one that came too late to be shown."""
        if self._last < 0:
            self._last = 0
            return 0
        if self._ticks_away is not None:
            start = self._last + max(1, self._ticks_away)
            self._shift, self._last, self._ticks_away = start - (stamp or 0), start, None
            return start
        start = self._last + self._frame_ticks if stamp is None else stamp + self._shift
        if start <= self._last:
            if start > self._last - self._disorder:
                return None
            self.gaps += 1
            start = self._last + self._frame_ticks
            self._shift = start - (stamp or 0)
        elif start - self._last > self._gap:
            self.gaps += 1
        self._last = start
        return start
