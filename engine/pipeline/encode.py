"""Frames to visual tokens: chunks are cut, resized on the host, and run through the towers.

Each step is a generator, so that the caller may put a thread between any two of them.

Decision: chunks of several cameras are not joined into one batch of the towers, because a run that
goes on after a kill must write the bytes that it would have written, and products of another size
are summed up in another order. Measured (`longwatch bench towers`): on two cores a joint batch of
eight chunks takes 0.78 of the processor time of the towers, which is 0.3 ms a frame, and the last
bits of vectors differ. Revisit with a card and a large model, where a chunk leaves it idle.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32

from engine import device as devices
from engine.cache.stills import Still, StillConfig, encode_still
from engine.errors import MediaDecodeError
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.protocols import FitsFrames, VideoModel
from engine.records import MediaInfo, TimeSpan
from engine.tensors import AudioWindow, FrameBatch, VisualTokens

VISION_BATCH = 16
"""Most frames in one call of the towers: small batches keep their activations in the CPU's caches
and their memory flat. Batches start at the chunk, so that a resumed run cuts them alike."""

_ACTIVITY_STRIDE_PX = 8
"""Every eighth pixel is enough to see how much changed."""


@runtime_checkable
class SoundSource(Protocol):
    """The sound of a source on its frames' clock, in spans of any length."""

    def window(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """16 kHz, one channel, in [-1, 1]; `None` where the source has no sound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledFrame:
    """A frame, and the small picture that is kept of it."""

    frame: Frame
    still: Still | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyChunk:
    """The frames of one chunk as the towers take them, still bytes on the host."""

    batches: tuple[FrameBatch, ...]
    """Of one size each; the sound of the whole chunk goes with the first."""
    span: TimeSpan
    activity: float
    stills: tuple[Still, ...] = ()
    """Of its frames, where they are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedChunk:
    """The visual tokens of one chunk, and where it stands."""

    tokens: VisualTokens
    span: TimeSpan
    activity: float
    stills: tuple[Still, ...] = ()
    """Of its frames, where they are kept."""


def sampled_frames(frames: Iterable[Frame], config: StillConfig | None) -> Iterator[SampledFrame]:
    """Yield frames with their stills; on the thread that reads ahead, beside the model."""
    for frame in frames:
        still = None if config is None else encode_still(frame.pixels, frame.pts_s, config)
        yield SampledFrame(frame=frame, still=still)


def ready_chunks(
    engine: Engine, frames: Iterable[SampledFrame], info: MediaInfo, sound: SoundSource | None
) -> Iterator[ReadyChunk]:
    """Yield whole chunks of frames; each waits for the first frame of the next.

    A chunk ends when it is full, where thinning ended a group of frames, or where frames change
    their size and the model keeps it.
    """
    waiting: list[SampledFrame] = []
    try:
        for sampled in frames:
            if waiting and _ends(engine, waiting, sampled):
                yield _ready(engine, waiting, sampled.frame.pts_s, sound)
                waiting = []
            waiting.append(sampled)
    except MediaDecodeError:
        if waiting:
            yield _ready(engine, waiting, None, sound)
        raise
    if waiting:
        yield _ready(engine, waiting, info.duration_s, sound)


def _ends(engine: Engine, waiting: Sequence[SampledFrame], after: SampledFrame) -> bool:
    """Tell whether a chunk ends before a frame."""
    card, last = engine.model.card, waiting[-1].frame
    is_resized = card.keeps_aspect and last.pixels.shape != after.frame.pixels.shape
    return len(waiting) == card.chunk_frames or after.frame.starts_chunk or is_resized


def encoded_chunks(engine: Engine, chunks: Iterable[ReadyChunk]) -> Iterator[EncodedChunk]:
    """Run chunks through towers and projector, one after the other."""
    for chunk in chunks:
        with engine.tower_turns.taken(), devices.lane(engine.device, "towers"):
            tokens = _encode(engine.model, chunk.batches)
            # Compression reads them on another stream.
            devices.finish(engine.device)
        yield EncodedChunk(
            tokens=tokens, span=chunk.span, activity=chunk.activity, stills=chunk.stills
        )


def encode_frames(
    model: VideoModel, frames: Sequence[Frame], audio: AudioWindow | None = None
) -> VisualTokens:
    """Run frames of any sizes through towers and projector, in small batches from the first on.

    Args:
        model: Any.
        frames: At least one.
        audio: The sound of the whole stretch; it goes with the first batch.
    """
    first, *rest = _batches(frames)
    return _encode(model, (replace(first, audio=audio), *rest))


def hear(engine: Engine, span: TimeSpan, sound: SoundSource | None) -> AudioWindow | None:
    """Return the sound of a span; `None` where there is none, or for a model that does not hear."""
    if sound is None or not engine.model.card.wants_audio:
        return None
    samples = sound.window(span)
    if samples is None:
        return None
    return AudioWindow(samples=torch.from_numpy(samples), start_s=span.start_s)


def _end_s(engine: Engine, frames: Sequence[Frame], next_s: float | None) -> float:
    """When the last frame of a chunk stops standing for what is seen.

    That is when the next begins, or the video ends; but a frame never stands for a gap.
    """
    sampling, last_s = engine.sampling, frames[-1].pts_s
    period_s = 1 / sampling.fps
    longest_s = max(2 * period_s, sampling.gap_s)
    if sampling.thin_static:
        longest_s = max(longest_s, sampling.heartbeat_s + period_s)
    if next_s is None or next_s <= last_s:
        return last_s + period_s
    return min(next_s, last_s + longest_s)


def _ready(
    engine: Engine,
    sampled: Sequence[SampledFrame],
    next_s: float | None,
    sound: SoundSource | None,
) -> ReadyChunk:
    """Bring the frames of a chunk to the size of the towers, and add its sound.

    Args:
        next_s: When the next frame begins, or the video ends; `None` where nobody knows.
    """
    frames = [pair.frame for pair in sampled]
    span = TimeSpan(start_s=frames[0].pts_s, end_s=_end_s(engine, frames, next_s))
    model = engine.model
    batches = list(_batches(frames))
    if isinstance(model, FitsFrames):
        batches = [model.fit(batch) for batch in batches]
    first, *rest = batches
    return ReadyChunk(
        batches=(replace(first, audio=hear(engine, span, sound)), *rest),
        span=span,
        activity=_activity(frames),
        stills=tuple(pair.still for pair in sampled if pair.still is not None),
    )


def _encode(model: VideoModel, batches: Sequence[FrameBatch]) -> VisualTokens:
    parts = [model.encode(batch) for batch in batches]
    return VisualTokens(
        embeddings=torch.cat([part.embeddings for part in parts]),
        frame_vectors=torch.cat([part.frame_vectors for part in parts]),
        pts_s=torch.cat([part.pts_s for part in parts]),
        audio=parts[0].audio,
        grid=parts[0].grid,
        frames_together=parts[0].frames_together,
    )


def _batches(frames: Sequence[Frame]) -> Iterator[FrameBatch]:
    """Runs of frames of one size, at most `VISION_BATCH` long."""
    start = 0
    for stop in range(1, len(frames) + 1):
        at_end = stop == len(frames) or stop - start == VISION_BATCH
        if at_end or frames[stop].pixels.shape != frames[start].pixels.shape:
            run = frames[start:stop]
            pixels = torch.from_numpy(np.stack([frame.pixels for frame in run]))
            yield FrameBatch(
                pixels=pixels.permute(0, 3, 1, 2),
                pts_s=torch.tensor([frame.pts_s for frame in run], dtype=torch.float64),
            )
            start = stop


def _activity(frames: Sequence[Frame]) -> float:
    """Return the mean change from frame to frame, in [0, 1]; a change of size does not count."""
    stride = _ACTIVITY_STRIDE_PX
    small = [frame.pixels[::stride, ::stride].astype(np.int16) for frame in frames]
    changes = [
        float(np.abs(after - before).mean()) / 255
        for before, after in pairwise(small)
        if before.shape == after.shape and before.size
    ]
    return sum(changes) / len(changes) if changes else 0.0
