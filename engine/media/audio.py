"""The sound track as windows at a fixed rate on the frames' clock.

Decision: a source without a sound track (or with a codec that is not accepted) yields `None`; a
stretch before, after or inside a track where nothing was recorded yields silence. So a family that
hears can tell a silent film from a silent moment.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from math import ceil
from types import TracebackType
from typing import Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream
from jaxtyping import Float32

from engine.errors import MediaRefusedError, SoundOnlyError
from engine.media.decode import VideoDecoder
from engine.media.formats import AUDIO_CODECS
from engine.media.frame import Frame
from engine.media.sample import SamplingConfig
from engine.media.sound_packets import SoundPackets
from engine.media.source import MediaLimits, open_sound, open_source
from engine.media.stamps import STAMP_BITS, AnyPacket
from engine.records import MediaInfo, SampleStats, TimeSpan

RATE_HZ = 16_000
# Lossy codecs need a little of what came before; AAC and Opus settle within 80 ms.
_PREROLL_S = 0.5
# Time stamps of a sound track wander by rounding; beyond this, sound is missing or doubled.
_DRIFT_S = 0.05


class AudioReader:
    """The sound of a source; windows may be read in any order, and forward is cheap."""

    def __init__(
        self,
        uri: str,
        *,
        limits: MediaLimits,
        rate_hz: int = RATE_HZ,
        layout: Literal["mono", "stereo"] = "mono",
        on_packet: Callable[[], None] | None = None,
    ) -> None:
        """Open a source; raises as `open_source` does.

        Args:
            on_packet: Called for every packet where a file has to be read from its start, so that
                a watchdog sees life.
        """
        self._container, self._origin_s, picture = _open(uri, limits)
        self._rate_hz = rate_hz
        self._layout = layout
        self._channels = 1 if layout == "mono" else 2
        self._stream = _audio_stream(self._container.streams.audio)
        self._packets: SoundPackets | None = None
        may_step = self._container.format.name in STAMP_BITS
        if self._stream is not None and picture is not None and may_step:
            self._packets = SoundPackets(partial(_open_both, uri, limits), on_packet)
        self._held = np.zeros((self._channels, 0), dtype=np.float32)
        self._held_at = 0
        """Sample number, on the frames' clock, of the first sample held."""
        self._runs: Iterator[tuple[int, Float32[np.ndarray, "channel sample"]]] | None
        self._runs = None
        self._ahead: tuple[int, Float32[np.ndarray, "channel sample"]] | None = None
        """A run that was read, but begins behind the window."""

    @property
    def has_track(self) -> bool:
        """Whether the source has sound that can be read."""
        return self._stream is not None

    def window(
        self, span: TimeSpan, *, afresh: bool = False
    ) -> Float32[np.ndarray, "channel sample"] | None:
        """Return the sound of a span in [-1, 1], as long as the span; `None` without a track.

        Args:
            span: On the frames' clock.
            afresh: Seek even where reading on would do. A decoder carries traces of what came
                before; after a seek a span sounds the same whatever was read before it.
        """
        if self._stream is None:
            return None
        start, end = round(span.start_s * self._rate_hz), round(span.end_s * self._rate_hz)
        if afresh or self._runs is None or start < self._held_at:
            self._seek(span.start_s)
        assert self._runs is not None
        while self._held_at + self._held.shape[1] < end:
            run, self._ahead = self._ahead or next(self._runs, None), None
            if run is None:
                break
            if run[0] >= end:
                # A time stamp may jump by hours: the silence up to it is never held in memory.
                self._ahead = run
                break
            self._append(*run, keep_from=start)
        return self._cut(start, end)

    def close(self) -> None:
        """Close the source."""
        self._container.close()
        if self._packets is not None:
            self._packets.close()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _seek(self, start_s: float) -> None:
        at_s = max(0.0, self._origin_s + start_s - _PREROLL_S)
        packets = self._sought(at_s) if self._packets is None else self._packets.since(at_s)
        self._held, self._ahead = self._held[:, :0], None
        self._held_at = round(start_s * self._rate_hz)
        self._runs = self._read(packets)

    def _sought(self, at_s: float) -> Iterator[AnyPacket]:
        stream = self._stream
        assert stream is not None
        assert stream.time_base is not None
        container = self._container
        for unread in container.streams:
            unread.discard = Discard.all
        stream.discard = Discard.default
        container.seek(int(at_s / stream.time_base), stream=stream)
        stream.codec_context.flush_buffers()
        return container.demux([stream])

    def _read(
        self, packets: Iterator[AnyPacket]
    ) -> Iterator[tuple[int, Float32[np.ndarray, "channel sample"]]]:
        """Yield runs of samples, each with the number of its first sample."""
        resampler: AudioResampler | None = None
        shape: tuple[str, str, int] | None = None
        next_sample = 0
        for frame in _frames(packets):
            last_shape, shape = shape, (frame.format.name, frame.layout.name, frame.sample_rate)
            # A frame without a time follows the one before it.
            time_s = frame.time
            start = next_sample
            if time_s is not None:
                start = round((time_s - self._origin_s) * self._rate_hz)
            drifted = abs(start - next_sample) > _DRIFT_S * self._rate_hz
            if resampler is None or shape != last_shape or drifted:
                resampler = AudioResampler(format="fltp", layout=self._layout, rate=self._rate_hz)
                next_sample = start
            try:
                parts = [part.to_ndarray() for part in resampler.resample(frame)]
            except (av.FFmpegError, ValueError):
                # Of a shape that cannot be mixed down: silence, like all damage.
                resampler = None
                continue
            if parts:
                run = np.concatenate(parts, axis=1).astype(np.float32, copy=False)
                yield next_sample, run
                next_sample += run.shape[1]

    def _append(
        self, at: int, run: Float32[np.ndarray, "channel sample"], *, keep_from: int
    ) -> None:
        """Join a run to what is held, over silence or what it overlaps, and drop the past."""
        end = max(self._held_at + self._held.shape[1], at + run.shape[1], keep_from)
        joined = np.zeros((self._channels, end - min(keep_from, end)), dtype=np.float32)
        for first, samples in ((self._held_at, self._held), (at, run)):
            skipped = max(0, keep_from - first)
            kept = samples[:, skipped:]
            offset = first + skipped - keep_from
            joined[:, offset : offset + kept.shape[1]] = kept
        self._held, self._held_at = joined, keep_from

    def _cut(self, start: int, end: int) -> Float32[np.ndarray, "channel sample"]:
        window = np.zeros((self._channels, end - start), dtype=np.float32)
        skipped = max(0, start - self._held_at)
        kept = self._held[:, skipped : max(skipped, end - self._held_at)]
        window[:, : kept.shape[1]] = kept
        return np.clip(window, -1.0, 1.0)


class SoundFrames:
    """A file without pictures as a source of empty frames at the sampling rate.

    The frames carry the clock, so that chunks, spans and evidence are made as for any video.
    """

    def __init__(
        self,
        uri: str,
        config: SamplingConfig,
        *,
        limits: MediaLimits,
        after_s: float | None = None,
    ) -> None:
        """Open a file.

        Raises:
            MediaRefusedError: It has no sound that can be read, or does not say how long it is.
        """
        container, length_s = open_sound(uri, limits)
        with closing(container):
            stream = _audio_stream(container.streams.audio)
            if stream is None or length_s is None:
                raise MediaRefusedError(
                    uri, "no sound of known length can be read from it", hint="convert it to FLAC"
                )
            self.info = MediaInfo(
                uri=uri,
                container=container.format.name,
                video_codec=None,
                fps=None,
                height_px=0,
                width_px=0,
                duration_s=length_s,
                has_audio=True,
            )
        self.stats = SampleStats()
        self._fps, self._after_s = config.fps, after_s

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames without pixels, behind `after_s`."""
        for n in range(ceil((self.info.duration_s or 0.0) * self._fps)):
            pts_s = n / self._fps
            if self._after_s is None or pts_s > self._after_s:
                self.stats = replace(self.stats, frames_sampled=self.stats.frames_sampled + 1)
                yield Frame(pixels=np.zeros((0, 0, 3), dtype=np.uint8), pts_s=pts_s)

    def __enter__(self) -> "SoundFrames":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""


def read_audio(
    uri: str, span: TimeSpan, *, limits: MediaLimits | None = None
) -> Float32[np.ndarray, " sample"] | None:
    """Return 16 kHz mono sound of a span on the frames' clock; `None` without a track."""
    with AudioReader(uri, limits=limits or MediaLimits()) as reader:
        window = reader.window(span)
        return None if window is None else window[0]


def _open(uri: str, limits: MediaLimits) -> tuple[InputContainer, float, VideoStream | None]:
    """Return a container, when its first frame, or else its sound, begins, and its picture."""
    try:
        source = open_source(uri, limits)
    except SoundOnlyError:
        container, _ = open_sound(uri, limits)
        return container, (container.start_time or 0) / av.time_base, None
    try:
        decoder = VideoDecoder(source, limits, gap_s=SamplingConfig().gap_s)
    except BaseException:
        source.close()
        raise
    return source.container, decoder.first_s, source.stream


def _open_both(uri: str, limits: MediaLimits) -> tuple[InputContainer, VideoStream, AudioStream]:
    """Return a container at its start, with its picture and its sound."""
    source = open_source(uri, limits)
    sound = _audio_stream(source.container.streams.audio)
    assert sound is not None, "it was there when the file was opened first"
    return source.container, source.stream, sound


def _audio_stream(streams: tuple[AudioStream, ...]) -> AudioStream | None:
    """Return the default one of the tracks that can be read; else the first."""
    readable = [
        stream
        for stream in streams
        if stream.codec_context is not None and stream.codec_context.name in AUDIO_CODECS
    ]
    defaults = (stream for stream in readable if stream.disposition & Disposition.default)
    return next(defaults, next(iter(readable), None))


def _frames(packets: Iterator[AnyPacket]) -> Iterator[av.AudioFrame]:
    """Yield the frames that decode; damaged packets become silence."""
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                yield frame
