"""Sampling: the frame at each multiple of 1/fps, static footage thinned; and single moments.

The frame at grid time k/fps is the one shown then: the last whose time is not after it. It keeps
its own exact time, is given out once however long it is shown, and the rule needs nothing but
its own stretch of the clock, so that it does not matter where a reader starts. Within the last
frame none is due where less than a tenth of an interval is left: 721 frames at 240.24 a second are
3.001 s, and three samples at one a second.

Where `keyframe_s` is given and the source's keyframes follow each other within it, the frame at a
grid time is the last keyframe not after it, with its own exact time, and nothing else is decoded
there. That is decided for each group of pictures by itself: it does not matter either where a
reader starts, and stretches with sparse keyframes are read as ever.
"""

import functools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from av.audio.stream import AudioStream
from jaxtyping import UInt8

from engine.errors import MediaDecodeError
from engine.media.address import redact
from engine.media.decode import VideoDecoder
from engine.media.describe import describe
from engine.media.frame import Frame, FrameConverter
from engine.media.source import MediaLimits, open_source
from engine.media.stillness import LEARNED_S, Stillness, change
from engine.records import MediaInfo, SampleStats

THINNING_VERSION = 3
"""Of the rule by which `StaticThinning` leaves frames out: latents of two rules never mix."""


_TAIL = Fraction(1, 10)
"""Of a sampling interval: what must be left of the last frame at a sample within it."""
# Of a time in seconds as a float; far below a tick of any file.
_ROUNDING_S = Fraction(1, 10_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """The density at which a video is sampled."""

    fps: float = 1.0
    """Samples a second of media time; more than the video has gives every frame once."""
    thin_static: bool = True
    """Leave out frames that look like the last one kept."""
    static_threshold: float = 0.03
    """`change` below which a frame counts as static; a dark picture's own light and noise may
    lower it. Measured on a fixed indoor camera, frames 1 s apart: 95 % of empty moments lie below
    0.026; a thing of 2 cells of 2304 that differs by a quarter of the grey scale, above 0.038."""
    heartbeat_s: float = 30.0
    """While nothing changes, one frame is kept this often."""
    group_frames: int = 10
    """Frames of a group: the chunk of the model. A group that begins with a change is given out
    whole, still frames and all; `StaticThinning` says why."""
    max_side_px: int | None = 1280
    """Larger pictures are scaled down while they are converted; `None` never scales."""
    keyframe_s: float = 0.0
    """Keyframes that follow each other within this stand for all that is shown between them."""
    gap_s: float = 10.0
    """A frame shown for longer than this is counted as a gap in the recording."""

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise ValueError(f"fps must lie in (0, 1000], not {self.fps}")
        if not 0 <= self.keyframe_s < math.inf:
            raise ValueError(f"keyframe_s must be finite and not below 0, not {self.keyframe_s}")
        if self.group_frames < 1:
            raise ValueError(f"group_frames must be at least 1, not {self.group_frames}")
        if self.max_side_px is not None and self.max_side_px < 1:
            raise ValueError(f"max_side_px must be at least 1, not {self.max_side_px}")
        if not 0 <= self.static_threshold <= 1:
            raise ValueError(f"static_threshold must lie in [0, 1], not {self.static_threshold}")


class FrameReader:
    """The sampled frames of a file or feed, in order, each with its exact time.

    Opening decodes the first frame, so that a source which holds none is refused at once.
    """

    def __init__(
        self,
        uri: str,
        config: SamplingConfig,
        *,
        limits: MediaLimits,
        after_s: float | None = None,
        on_packet: Callable[["FrameReader"], None] | None = None,
        films: bool = False,
    ) -> None:
        """Open a source.

        Args:
            uri: A path, or the address of a live feed.
            after_s: Go on behind the frame of this time, which must have ended a group; what
                follows equals what an undisturbed reader gives out, byte for byte.
            on_packet: Called for every packet, so that a watchdog sees life between frames.
            films: Whether it is a camera, whatever length its server states.
        """
        self._config = config
        self._after_s = after_s
        self._source = open_source(uri, limits, films=films)
        try:
            self._decoder = VideoDecoder(self._source, limits, gap_s=config.gap_s)
            if on_packet is not None:
                self._decoder.packets.on_packet = functools.partial(on_packet, self)
            first = self._decoder.first
            self._converter = FrameConverter(
                first, self._source.stream, max_side_px=config.max_side_px
            )
            self._source.measure(limits, self._decoder.packets.beat)
            self._opened = describe(
                self._source,
                size_px=self._converter.size_px,
                rotation_deg=self._converter.rotation_deg,
                first_s=self._decoder.first_s,
                warnings=self._converter.warnings,
            )
            self._decoder.check_duration(self._opened.duration_s or 0.0)
        except BaseException:
            self._source.close()
            raise
        fps, info_fps = config.fps, self._opened.fps
        # Beyond 1000 the header talks nonsense, and time stamps say when frames are shown.
        if info_fps is not None and limits.max_fps < info_fps <= 1000:
            fps = min(fps, limits.max_fps)
        rate = Fraction(fps).limit_denominator(1_000_000)
        self._per_tick = rate * self._decoder.tick_s
        self._keyframe_ticks = math.floor(Fraction(config.keyframe_s) / self._decoder.tick_s)
        self._learned_s = LEARNED_S if config.thin_static else 0.0
        self._thinning = StaticThinning(
            config, after_s=after_s, closes_groups=films or self._opened.is_live
        )
        self._frames = self._read()

    @property
    def decoder(self) -> VideoDecoder:
        """The decoder behind it."""
        return self._decoder

    @property
    def sound_streams(self) -> tuple[AudioStream, ...]:
        """The tracks of sound beside the picture."""
        return self._source.container.streams.audio

    @property
    def info(self) -> MediaInfo:
        """The facts about the source; warnings grow while it is read."""
        return replace(self._opened, warnings=self._opened.warnings + self._decoder.warnings)

    @property
    def stats(self) -> SampleStats:
        """The counts so far."""
        counts = self._decoder.counts
        return SampleStats(
            frames_decoded=counts.decoded,
            frames_sampled=counts.sampled,
            frames_skipped_static=counts.static,
            packets_damaged=counts.damaged,
            gaps=counts.gaps,
        )

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Close the source, which ends iteration; may be called twice."""
        self._frames.close()
        self._source.close()

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> Generator[Frame, None, None]:
        tick_s = self._decoder.tick_s
        pictures = self._decoder.pictures(self._wanted, keyframe_ticks=self._keyframe_ticks)
        for picture in pictures:
            pts_s = float(picture.start * tick_s)
            if self._thinning.keeps(pts_s, self._converter.thumbnail(picture.frame)):
                self._decoder.counts.sampled += 1
                yield Frame(
                    pixels=self._converter.rgb(picture.frame),
                    pts_s=pts_s,
                    starts_chunk=self._thinning.starts_chunk,
                )
            elif self._after_s is None or pts_s > self._after_s:
                self._decoder.counts.static += 1
        self._decoder.add_end_warnings(self._opened.duration_s)
        if self._decoder.packets.clock_resets and not self._opened.is_live:
            end_s = float(self._decoder.end * tick_s)
            self._opened = replace(self._opened, duration_s=end_s)
        self._source.close()

    def _wanted(self, start: int, end: int) -> bool:
        is_last = end == self._decoder.last_end
        if start < 0 or not on_grid(start, end, self._per_tick, is_last=is_last):
            return False
        # The frame at `after_s` itself is what thinning compares the next one with.
        after_s = self._after_s
        return after_s is None or float(start * self._decoder.tick_s) >= after_s - self._learned_s


class StaticThinning:
    """The rule, frame by frame, which static frames are left out, and where groups end.

    Decision: still frames are left out between groups, never inside one. A change begins a group,
    which then gets every frame until it is full; the frames of heartbeats fill groups of their
    own, which end early when something changes.
    Because: models are trained on chunks without holes. When still frames were left out anywhere,
    the eight frames of a chunk lay up to a minute apart and showed several events.
    Measured: nano, 1181 questions about twelve drawn recordings: 124 wrong when frames were left
    out anywhere, 60 when a chunk also ended after twice its length, 32 so, 32 with every frame.
    Costs 1987 frames of 3600 there, where something happens every 20 s (928 when left out
    anywhere), and nothing more where nothing happens.
    Revisit when: a model is trained on thinned video.

    What follows a group depends on its last frame and the noise of `LEARNED_S` before it alone, so
    that reading may resume behind any group.
    """

    def __init__(
        self, config: SamplingConfig, *, after_s: float | None = None, closes_groups: bool = False
    ) -> None:
        """Begin, or go on behind the last frame of a group.

        Args:
            after_s: Time of that frame; it has to be shown to `keeps` once more, behind what lies
                up to `LEARNED_S` before it.
            closes_groups: Whether the frame behind a full group of changes is kept, still as it may
                be: a chunk ends where the next begins, and one that shows somebody who went by must
                not wait for a heartbeat while it is filmed. Costs a frame for each stretch that
                becomes still.
        """
        self._config = config
        self._after_s = after_s
        self._closes_groups = closes_groups
        self._stillness = Stillness(config.static_threshold)
        self._kept: UInt8[np.ndarray, "h w"] | None = None
        self._kept_s = 0.0
        self._in_group = 0
        self._is_still_group = False
        self.starts_chunk = False
        """Whether a group ended early before the frame that was kept last."""

    def keeps(self, pts_s: float, thumbnail: UInt8[np.ndarray, "h w"]) -> bool:
        """Return whether to give this frame out; remembers it if so."""
        config = self._config
        self._stillness.learn(pts_s, thumbnail)
        if self._after_s is not None and pts_s <= self._after_s:
            self._kept, self._kept_s = thumbnail, pts_s
            return False
        is_static = (
            config.thin_static
            and self._kept is not None
            and change(self._kept, thumbnail) < self._stillness.least_change(self._kept)
        )
        is_open = 0 < self._in_group < config.group_frames
        may_leave_out = self._is_still_group or not is_open
        closes = self._closes_groups and self._in_group > 0 and not self._is_still_group
        is_due = closes or pts_s - self._kept_s >= config.heartbeat_s
        if is_static and may_leave_out and not is_due:
            return False
        self.starts_chunk = is_open and self._is_still_group and not is_static
        if self.starts_chunk or not is_open:
            self._in_group, self._is_still_group = 0, is_static
        self._kept, self._kept_s = thumbnail, pts_s
        self._in_group += 1
        return True


def on_grid(start: int, end: int, per_tick: Fraction, *, is_last: bool = False) -> bool:
    """Return whether a sample is due while a frame is shown, in `[start, end)`.

    Args:
        per_tick: Samples per tick of the clock.
        is_last: Whether no frame follows.
    """
    if is_last:
        end = max(start + 1, end - math.floor(_TAIL / per_tick))
    return math.ceil(start * per_tick) < end * per_tick


def probe(uri: str, limits: MediaLimits) -> MediaInfo:
    """Return the facts about a source; its first frame is decoded, so what passes can be read.

    Raises:
        InputRefusedError: Unsafe, unsupported, too large, or nothing in it decodes.
        UnreachableError: No such file, or nobody answers.
    """
    with FrameReader(uri, SamplingConfig(), limits=limits) as reader:
        return reader.info


def frame_at(
    uri: str,
    time_s: float,
    *,
    limits: MediaLimits | None = None,
    max_side_px: int | None = None,
    on_packet: Callable[[], None] | None = None,
) -> Frame:
    """Return the frame shown at a moment, with its own exact time.

    Args:
        time_s: Seconds from the first frame; beyond the end, the last frame; before 0, the first.
        max_side_px: Scale down to this; `None` keeps the stored size.
        on_packet: Called for every packet, as by `FrameReader`.
    Raises:
        InputRefusedError: As for any source.
    """
    limits = limits or MediaLimits()
    last: int | None = None
    while True:
        with open_source(uri, limits) as source:
            decoder = VideoDecoder(source, limits, gap_s=SamplingConfig().gap_s)
            decoder.packets.on_packet = on_packet
            converter = FrameConverter(decoder.first, source.stream, max_side_px=max_side_px)
            tick = _tick_at(time_s, decoder.tick_s) if last is None else last
            decoder.jump(tick)
            for picture in decoder.pictures(functools.partial(_holds, tick)):
                pts_s = float(picture.start * decoder.tick_s)
                return Frame(pixels=converter.rgb(picture.frame), pts_s=pts_s)
            if last is not None:
                raise MediaDecodeError(redact(uri), "the frame could not be decoded", pts_s=time_s)
            # Behind the end the last frame is shown; its tick is known now.
            last = decoder.last


def _tick_at(time_s: float, tick_s: Fraction) -> int:
    """Return the tick that holds a moment; the float of a time stamp may lie a hair below it."""
    return max(0, math.floor((Fraction(time_s) + _ROUNDING_S) / tick_s))


def _holds(tick: int, start: int, end: int) -> bool:
    return start <= tick < end
