"""Time stamps of a live feed, held against the moments at which its packets arrive.

A camera's clock may be set while it films, wrap, stand still, or count from anywhere; some send no
time stamps at all. What it says of the distance of two pictures is taken while it fits when they
came; what does not fit is replaced by the time that passed here.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from av.video.stream import VideoStream

from engine.media.hls import Joint
from engine.media.stamps import VideoPacket, move, nominal_frame_ticks

_BACK_S: Final = 1.0
"""Reordered pictures without a time of decoding step back by up to 16 frames."""
_AHEAD_S: Final = 2.0
"""A step ahead of the time that passed by more than this means that the camera's clock was set."""
_BEHIND_S: Final = 5.0
"""A clock that has fallen behind by so much, without coming back for a while, was set or stands."""
_STANDS_S: Final = 0.9
"""A clock that does not go on for so long, while pictures come, stands still."""
_WINDOW_S: Final = 20.0
"""Packets are late by what the network does in it; the least late of a while tells the clock."""
_KEPT_SHIFTS: Final = 4
_UNSTAMPED: Final = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "mpegvideo"})
"""Containers whose time stamps FFmpeg counts at a rate that it assumes."""


_HELD_BACK: Final = {"mpegts": 2, "h264": 1, "hevc": 1}
"""Pictures that must follow before a demuxer knows that one is whole: the next packet of the
stream, and the beginning of the next picture in it. RTP marks the end of each."""


class FeedStamps:
    """The time stamps of one connection to a camera, rewritten to run without a step.

    Source: the least delay of a window as the measure of an offset is NTP's clock filter
    (RFC 5905, 10).
    """

    def __init__(
        self, stream: VideoStream, container: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Start before the first packet.

        Args:
            container: FFmpeg's name of it.
            now: A clock that is never set.
        """
        self._now = now
        self._tick_s = float(stream.time_base or 1 / 90_000)
        self._frame_ticks = nominal_frame_ticks(stream, container)
        self._is_stamped = container not in _UNSTAMPED
        self._held_back = _HELD_BACK.get(container, 0)
        self._n_steps, self._steps = 0, 0
        self._shift = 0
        self._shifts: deque[int] = deque([0], maxlen=_KEPT_SHIFTS)
        self._last: int | None = None
        self._last_at, self._last_ticks = 0.0, 0
        self._is_unstamped_so_far = True
        self._least_late_s: float | None = None
        self._late: deque[tuple[float, float]] = deque()
        self._pending: deque[tuple[float, float]] = deque()

    @property
    def zero_at_s(self) -> float:
        """Moment at which a picture of time stamp 0 was taken, on the clock `now`."""
        least_late_s = min((late_s for _, late_s in self._late), default=0.0)
        return least_late_s - self._held_back * self._picture_s

    @property
    def _picture_s(self) -> float:
        """Mean distance of two pictures."""
        if self._n_steps < self._held_back:
            return self._frame_ticks * self._tick_s
        return self._steps / max(1, self._n_steps) * self._tick_s

    def correct(self, packet: VideoPacket, joint: Joint | None = None) -> bool:
        """Rewrite the time stamps of the next packet, in decoding order.

        Args:
            joint: What the feed says of the place before it, where it says anything.
        Returns:
            Whether the clock was set anew before it.
        """
        at_s = self._now()
        stamp = packet.dts if packet.dts is not None else packet.pts
        missed_s = 0.0 if joint is None else joint.missed_s
        if stamp is None or not self._is_stamped:
            packet.pts = packet.dts = self._by_arrival(at_s)
            stamp, is_reset = packet.pts, False
        elif joint is not None and joint.is_clock_set and self._last is not None:
            # It says so itself, and segments arrive in one piece: time goes on by duration, and
            # what is known of how late packets come stays true.
            is_reset = True
            away = self._last_ticks + round(missed_s / self._tick_s)
            self._move(packet, self._last + away - stamp)
            stamp += self._shift
        else:
            is_reset = self._is_reset(stamp, at_s, missed_s)
            if is_reset:
                assert self._last is not None
                away_s = max(at_s - self._last_at, self._frame_ticks * self._tick_s)
                self._shift = self._last + round(away_s / self._tick_s) - stamp
                self._late.clear()
                self._pending.clear()
                self._least_late_s = None
            elif self._is_unstamped_so_far and self._last is not None:
                # FFmpeg's reader of RTP leaves the first picture without a time, and may give the
                # second the time of the first.
                least = self._last + self._frame_ticks
                self._shift = 0 if stamp > self._last else least - stamp
            self._is_unstamped_so_far = False
            self._move(packet, self._shift)
            stamp += self._shift
        if self._last is not None and not is_reset:
            self._n_steps, self._steps = self._n_steps + 1, self._steps + stamp - self._last
        if self._last is None or stamp > self._last:
            self._last, self._last_at = stamp, at_s
            self._last_ticks = packet.duration or self._frame_ticks
        self._note(packet.pts if packet.pts is not None else stamp, at_s)
        return is_reset

    def sound_shift_s(self, stamp_s: float) -> float:
        """Return what is added to a time stamp of the sound beside these pictures.

        Around a moment at which the clock was set, packets of sound may be of before or after it.
        """
        last_s = (self._last or 0) * self._tick_s
        shifts_s = [shift * self._tick_s for shift in self._shifts]
        return min(shifts_s, key=lambda shift_s: abs(stamp_s + shift_s - last_s))

    def _move(self, packet: VideoPacket, shift: int) -> None:
        if shift != self._shifts[-1]:
            self._shifts.append(shift)
        self._shift = shift
        move(packet, shift)

    def _by_arrival(self, at_s: float) -> int:
        if self._last is None:
            return 0
        return self._last + max(1, round((at_s - self._last_at) / self._tick_s))

    def _is_reset(self, stamp: int, at_s: float, missed_s: float) -> bool:
        if self._last is None:
            return False
        step_s = (stamp + self._shift - self._last) * self._tick_s
        passed_s = at_s - self._last_at
        if not -_BACK_S <= step_s <= passed_s + missed_s + _AHEAD_S:
            return True
        if step_s <= 0 and passed_s > _STANDS_S:
            return True
        if self._least_late_s is None or not self._late:
            return False
        has_window = at_s - self._late[0][0] > _WINDOW_S * 0.9
        least_late_s = min(late_s for _, late_s in self._late)
        return has_window and least_late_s - self._least_late_s > _BEHIND_S

    def _note(self, stamp: int, at_s: float) -> None:
        self._pending.append((at_s, at_s - stamp * self._tick_s))
        # At its end a demuxer hands out at once what it holds back: that tells no time.
        if len(self._pending) <= self._held_back and self._late:
            return
        at_s, late_s = self._pending.popleft()
        # Of a second only the least late packet is kept.
        if self._late and math.floor(self._late[-1][0]) == math.floor(at_s):
            late_s = min(late_s, self._late.pop()[1])
        self._late.append((at_s, late_s))
        while self._late[0][0] < at_s - _WINDOW_S:
            self._late.popleft()
        self._least_late_s = (
            late_s if self._least_late_s is None else min(late_s, self._least_late_s)
        )
