"""Probes and decodes foreign media in a child process with limits.

The same face as reading in this process: `probe_foreign` like `probe`, `SandboxedReader` like
`FrameReader`, `frame_at_foreign` like `frame_at`. A crash, hang or passed limit of the child ends
as a sentence about the file. What the child sends is checked like any foreign data.

Decision: frames come through a pipe and not through shared memory, because one copy more costs
little beside decoding and the pipe bounds what is buffered by itself. Measured: see
`app/services/benchmarks/decode.py`. Revisit when frames larger than 1280 px a side are the rule.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float32, UInt8

from app.sandbox.channel import Child, SandboxLimits, SoundShape, unpacked_stats
from app.sandbox.child import BEAT, END, FRAME, INFO, STATS
from engine.media.frame import Frame
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.media.subtitles import SubtitleCue
from engine.records import MediaInfo, SampleStats, TimeSpan


class ReadingStoppedError(Exception):
    """Nobody wants more of a source that has not ended."""


class SandboxedReader:
    """Sampled frames of foreign media, decoded by a child process.

    Close it, or leave its `with` block, to end the child early. One thread takes frames; another
    may close it meanwhile.
    """

    def __init__(
        self,
        uri: str,
        config: SamplingConfig,
        *,
        limits: MediaLimits,
        after_s: float | None = None,
        sandbox: SandboxLimits | None = None,
        probe_only: bool = False,
        sound_only: bool = False,
        is_wanted: Callable[[], bool] | None = None,
    ) -> None:
        """Start the child and wait until it has opened the source.

        Args:
            is_wanted: Asked about once a second while nothing comes, as from a camera that is
                away; where more is not wanted, `ReadingStoppedError` is raised.
            sound_only: Read a file without pictures, as `SoundFrames` does; the other arguments
                are `FrameReader`'s.
        """
        self._child = Child(uri, config, limits, sandbox or SandboxLimits())
        self._stats = SampleStats()
        try:
            self._is_wanted = is_wanted
            if is_wanted is not None:
                self._child.while_waiting = lambda _silent_s: self._go_on_if_wanted()
            self._child.ask(after_s=after_s, probe_only=probe_only, sound_only=sound_only)
            _, payload = self._child.message(INFO)
            self._info, self.walls = self._child.info(payload)
        except BaseException:
            self._child.end()
            raise
        self._is_over = False

    @property
    def info(self) -> MediaInfo:
        """Facts about the source; warnings are complete once it is read to its end."""
        return self._info

    @property
    def stats(self) -> SampleStats:
        """Counts up to the last frame taken."""
        return self._stats

    @property
    def pid(self) -> int:
        """The child, for whoever watches its memory."""
        return self._child.pid

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        # No generator: another thread may be waiting for a frame when this one closes the reader.
        while not self._is_over:
            kind, payload = self._child.message(FRAME, INFO, BEAT, END)
            if kind == FRAME:
                frame, self._stats = self._child.frame(payload)
                return frame
            if kind == INFO:
                self._info, _ = self._child.info(payload)
            else:
                self._stats = unpacked_stats(STATS.unpack(payload))
            if kind == END:
                self.close()
            elif kind == BEAT:
                self._go_on_if_wanted()
        raise StopIteration

    def _go_on_if_wanted(self) -> None:
        if self._is_wanted is not None and not self._is_wanted():
            raise ReadingStoppedError

    def close(self) -> None:
        """End the child, and the iteration with it, on whichever thread; may be called twice.

        Who waits for a frame meanwhile hears that the child has ended.
        """
        self._is_over = True
        self._child.end()

    def __enter__(self) -> "SandboxedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def probe_foreign(
    uri: str,
    limits: MediaLimits,
    *,
    sandbox: SandboxLimits | None = None,
    sound_only: bool = False,
) -> MediaInfo:
    """State what a foreign source is, from a child process.

    Args:
        sound_only: Whether it is to be read as a file without pictures.
    Raises:
        LongwatchError: As `engine.media.sample.probe`, and MediaDecodeError where the child
            crashed, hung or passed a limit.
    """
    with SandboxedReader(
        uri,
        SamplingConfig(),
        limits=limits,
        sandbox=sandbox,
        probe_only=True,
        sound_only=sound_only,
    ) as reader:
        return reader.info


def frame_at_foreign(
    uri: str,
    time_s: float,
    *,
    limits: MediaLimits,
    max_side_px: int | None = None,
    sandbox: SandboxLimits | None = None,
) -> Frame:
    """`engine.media.sample.frame_at` of a foreign source, from a child process."""
    config = SamplingConfig(max_side_px=max_side_px)
    child = Child(uri, config, limits, sandbox or SandboxLimits())
    try:
        child.ask(moment_s=time_s)
        _, payload = child.message(FRAME)
        return child.frame(payload)[0]
    finally:
        child.end()


def picture_foreign(
    path: str, *, shown_px: int, limits: MediaLimits, sandbox: SandboxLimits | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a foreign still picture in a child process, scaled down to a longest side.

    Raises:
        LongwatchError: As `engine.media.picture.decode_picture`, and MediaDecodeError where the
            child crashed, hung or passed a limit.
    """
    child = Child(path, SamplingConfig(), limits, sandbox or SandboxLimits())
    try:
        child.ask(picture_px=shown_px)
        _, payload = child.message(FRAME)
        return child.frame(payload)[0].pixels
    finally:
        child.end()


def subtitles_foreign(uri: str, limits: MediaLimits) -> tuple[SubtitleCue, ...]:
    """Return the subtitles inside a foreign file, from a child process; none where it has none.

    Raises:
        LongwatchError: As `probe_foreign`.
    """
    child = Child(uri, SamplingConfig(), limits, SandboxLimits())
    try:
        child.ask(subtitles=True)
        return child.cues()
    finally:
        child.end()


class SandboxedSound:
    """The sound of foreign media, decoded by a child process; 16 kHz mono unless told.

    Close it, or leave its `with` block, to end the child.
    """

    def __init__(
        self,
        uri: str,
        *,
        limits: MediaLimits,
        sandbox: SandboxLimits | None = None,
        shape: SoundShape | None = None,
    ) -> None:
        """Start the child; the source is opened when the first span is asked for."""
        self._shape = shape or SoundShape()
        self._child = Child(uri, SamplingConfig(), limits, sandbox or SandboxLimits())
        self._child.ask(sound=self._shape)

    def window(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """Return the first channel of a span in [-1, 1]; `None` where there is no track.

        A span sounds the same whatever was asked before it.
        """
        channels = self.block(span, afresh=True)
        return None if channels is None else channels[0]

    def block(
        self, span: TimeSpan, *, afresh: bool = False
    ) -> Float32[np.ndarray, "channel sample"] | None:
        """Return all channels of a span in [-1, 1]; `None` where there is no track.

        Args:
            afresh: Seek even where reading on would do; blocks in a row join without a seam
                otherwise.
        """
        parts: list[Float32[np.ndarray, "channel sample"]] = []
        start_s = span.start_s
        while start_s < span.end_s or not parts:
            end_s = min(start_s + self._shape.step_s, span.end_s)
            is_first = afresh and not parts
            part = self._child.sound(start_s, end_s, self._shape, afresh=is_first)
            if part is None:
                return None
            parts.append(part)
            start_s = end_s
        return np.concatenate(parts, axis=1)

    def close(self) -> None:
        """End the child; may be called twice."""
        self._child.end()

    def __enter__(self) -> "SandboxedSound":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
