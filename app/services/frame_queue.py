"""A bounded queue of frames between a camera, which does not wait, and a model, which may be slow.

What does not fit is dropped and counted: memory stays flat, the recording goes on, and nobody takes
footage that nothing looked at for footage without events.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from app.sandbox.live import LiveFrame
from engine.media.frame import Frame
from engine.plural import counted
from engine.records import MediaInfo, SampleStats

RECENT_S: Final = 60.0
MOST_BYTES: Final = 64 * 2**20
"""Of frames that wait, a camera: 24 of 1280x720, or 97 of 640x360."""


class RecentDrops:
    """Frames that were dropped within the last minute."""

    def __init__(self) -> None:
        self._drops: deque[tuple[float, int]] = deque()

    def add(self, n: int, now_s: float) -> None:
        """Note frames that were dropped by now."""
        if n:
            self._drops.append((now_s, n))

    def describe(self, now_s: float) -> str:
        """Return a sentence about them; empty where there are none."""
        while self._drops and self._drops[0][0] < now_s - RECENT_S:
            self._drops.popleft()
        n_dropped = sum(n for _, n in self._drops)
        if not n_dropped:
            return ""
        return (
            f"it falls behind: {counted(n_dropped, 'frame')} of the last minute came faster than "
            "they could be looked at"
        )


class FrameQueue:
    """Frames of one connection, part by part."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._room_bytes = most_bytes
        self._frames: deque[LiveFrame] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self.n_dropped = 0
        """Frames that did not fit."""

    def offer(self, frame: LiveFrame) -> bool:
        """Add a frame unless the queue is full; return whether it was added."""
        with self._changed:
            if self._is_closed:
                return False
            n_bytes = frame.frame.pixels.nbytes
            # One always fits, however large.
            if self._frames and n_bytes > self._room_bytes:
                self.n_dropped += 1
                return False
            self._room_bytes -= n_bytes
            self._frames.append(frame)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Let nothing in any more; what waits is still handed out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def next_part(self) -> int | None:
        """Wait for a frame, and return its part; `None` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._is_closed)
            return self._frames[0].part if self._frames else None

    def take(self, part: int) -> LiveFrame | None:
        """Wait for the next frame of a part and remove it; `None` where another begins."""
        if self.next_part() != part:
            return None
        with self._changed:
            frame = self._frames.popleft()
            self._room_bytes += frame.frame.pixels.nbytes
            return frame


class PartFrames:
    """The frames of one part as a source that `ingest` reads."""

    def __init__(self, queue: FrameQueue, part: int, info: MediaInfo, before: SampleStats) -> None:
        """Begin a part.

        Args:
            before: Counts of the connection when it began.
        """
        self._queue, self._part = queue, part
        self._before = self._latest = before
        self.info = info

    @property
    def stats(self) -> SampleStats:
        """Counts of the part up to the frame taken last."""
        return SampleStats(
            **{
                field.name: getattr(self._latest, field.name) - getattr(self._before, field.name)
                for field in fields(SampleStats)
            }
        )

    @property
    def latest(self) -> SampleStats:
        """Counts of the connection up to the frame taken last."""
        return self._latest

    def __iter__(self) -> Iterator[Frame]:
        while (item := self._queue.take(self._part)) is not None:
            self._latest = item.stats
            yield item.frame
