"""A camera that is filmed by a child process: frames, parts and recorded bytes as they come."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from app.sandbox.channel import Child, SandboxLimits, unpacked_stats
from app.sandbox.child import (
    BEAT,
    END,
    FRAME,
    INFO,
    LIVE_HEAD,
    PART,
    PART_HEAD,
    RECORDED,
    RECORDED_HEAD,
    STATS,
)
from engine.media.frame import Frame
from engine.media.live import LiveConfig, LivePart
from engine.media.recording import RecordedBytes
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.records import MediaInfo, SampleStats

_CPU_S: Final = 366 * 24 * 3600
"""A camera has no end; what decodes a loop of nothing is seen as stalled instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFrame:
    """A sampled frame of a camera."""

    part: int
    """Ordinal of the part of the connection that it belongs to."""
    frame: Frame
    """On the clock of the part."""
    stats: SampleStats
    """Counts of the connection up to it."""


LiveMessage = LiveFrame | LivePart | RecordedBytes | None
"""`None` says that packets arrive though nothing is due."""


class LiveChild:
    """One connection to a camera, until it breaks off. Close it, or leave its `with` block."""

    def __init__(
        self,
        uri: str,
        config: SamplingConfig,
        live: LiveConfig,
        *,
        limits: MediaLimits,
        while_waiting: Callable[[float], None],
    ) -> None:
        """Start the child and wait until it has a picture.

        Args:
            while_waiting: Called twice a second with how long the camera has been silent (s); what
                it raises ends the connection.
        Raises:
            LongwatchError: As `engine.media.sample.probe`.
        """
        self._child = Child(uri, config, limits, SandboxLimits(cpu_s=_CPU_S))
        self._child.while_waiting = while_waiting
        self._child.maps_frames = True
        try:
            self._child.ask(live=live)
            _, payload = self._child.message(INFO)
            self.info: MediaInfo = self._child.info(payload)[0]
        except BaseException:
            self._child.end()
            raise
        self.stats = SampleStats()

    @property
    def pid(self) -> int:
        """The child, for whoever watches it."""
        return self._child.pid

    def messages(self) -> Iterator[LiveMessage]:
        """Yield what comes from the camera, in order, until its connection ends.

        Raises:
            UnreachableError: It broke off.
        """
        while True:
            kind, payload = self._child.message(FRAME, PART, RECORDED, BEAT, INFO, END)
            if kind == FRAME:
                (part,) = LIVE_HEAD.unpack(payload[: LIVE_HEAD.size])
                frame, self.stats = self._child.frame(payload[LIVE_HEAD.size :])
                yield LiveFrame(part=part, frame=frame, stats=self.stats)
            elif kind == PART:
                ordinal, start_at_s = PART_HEAD.unpack(payload)
                # A date that no clock shows would be an error of its own far from here.
                if math.isfinite(start_at_s) and 0 < start_at_s < 1e11:
                    yield LivePart(ordinal=ordinal, start_at_s=start_at_s)
            elif kind == RECORDED:
                ordinal, start_s, end_s, is_last = RECORDED_HEAD.unpack(
                    payload[: RECORDED_HEAD.size]
                )
                data = bytes(payload[RECORDED_HEAD.size :])
                yield RecordedBytes(
                    ordinal=ordinal, start_s=start_s, end_s=end_s, is_last=is_last, data=data
                )
            elif kind in {BEAT, END}:
                self.stats = unpacked_stats(STATS.unpack(payload))
                yield None
            if kind == END:
                return

    def close(self) -> None:
        """End the child; may be called twice."""
        self._child.end()

    def __enter__(self) -> "LiveChild":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
