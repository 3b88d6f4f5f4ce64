"""Frames to visual tokens to latents, chunk by chunk: into the cache first, then the index."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice, pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32

from engine.errors import CorruptLatentsError, MediaDecodeError
from engine.media.frame import Frame
from engine.media.prefetch import Prefetch
from engine.pipeline.engine import Engine
from engine.protocols import Stream, VideoModel
from engine.records import (
    ALL_TIME,
    ChunkCommitted,
    ChunkRef,
    MediaInfo,
    SampleStats,
    TimeSpan,
    VideoId,
)
from engine.tensors import AudioWindow, ChunkLatents, FrameBatch, VisualTokens

VISION_BATCH = 16
"""Most frames in one call of the towers: small batches keep their activations in the CPU's caches
and their memory flat. Batches start at the chunk, so that a resumed run cuts them alike."""

_ACTIVITY_STRIDE_PX = 8
"""Every eighth pixel is enough to see how much changed."""


@runtime_checkable
class FrameSource(Protocol):
    """Frames in order, with what is known of them: a `FrameReader`, or one in a sandbox."""

    @property
    def info(self) -> MediaInfo:
        """The source as far as it is known."""
        ...

    @property
    def stats(self) -> SampleStats:
        """Counts so far."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """The frames."""
        ...


@runtime_checkable
class SoundSource(Protocol):
    """The sound of a source on its frames' clock, in spans of any length."""

    def window(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """16 kHz, one channel, in [-1, 1]; `None` where the source has no sound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Point at which the ingest of a video resumes: behind its committed chunks."""

    ordinal: int
    """Of the next chunk; 0 starts from the beginning."""
    after_s: float | None
    """Time of the last frame that is stored; give it to the reader."""
    frames_sampled: int
    n_chunks: int | None = None
    """Chunks to read from here, where others are stored behind them; `None` reads to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedChunk:
    """The visual tokens of one chunk, and where it stands."""

    tokens: VisualTokens
    span: TimeSpan
    activity: float


def ingest(
    engine: Engine,
    video: VideoId,
    frames: FrameSource,
    *,
    sound: SoundSource | None = None,
    resume: ResumePoint | None = None,
    before: SampleStats | None = None,
) -> Iterator[ChunkCommitted]:
    """Ingest a video: encode, compress, store and index its frames; yielded chunks are on disk.

    Killed anywhere and run again with a reader that starts at `resume_point`, it ends with the
    same files, byte for byte, as if it had never been disturbed.

    Args:
        engine: Where the chunks go.
        video: Under which name.
        frames: Sampled by `engine.sampling`; frames that are stored already are passed over.
        sound: What a model that hears listens to; a span must sound the same in every run.
        resume: From `resume_point`; looked up when `None`.
        before: Counts of earlier runs over the same video, to be added to.
    Raises:
        DiskFullError: No space; what was yielded is kept, and running again goes on from there.
        MediaDecodeError: The source broke; the frames before are committed first.
    Cost: memory for one chunk of frames and the stream's bounded past; time per chunk is constant.
    """
    resume = resume or resume_point(engine, video)
    earlier = before or SampleStats(frames_sampled=resume.frames_sampled)
    with Prefetch(iter(frames)) as ahead:
        new = (frame for frame in ahead if resume.after_s is None or frame.pts_s > resume.after_s)
        encoded = islice(_encoded(engine, new, frames.info, sound), resume.n_chunks)
        for committed in ingest_encoded(engine, video, encoded, resume=resume):
            yield replace(committed, stats=_sum(earlier, frames.stats))


def ingest_encoded(
    engine: Engine,
    video: VideoId,
    chunks: Iterable[EncodedChunk],
    *,
    resume: ResumePoint,
) -> Iterator[ChunkCommitted]:
    """Fold, store and index chunks whose frames are encoded already."""
    ordinal, n_frames = resume.ordinal, resume.frames_sampled
    stream = _open_stream(engine, video, ordinal)
    for chunk in chunks:
        n_frames += len(chunk.tokens.pts_s)
        latents = engine.model.compress(chunk.tokens, stream)
        kept = ChunkLatents(
            ref=ChunkRef(video=video, ordinal=ordinal, span=chunk.span),
            latents=latents,
            frame_vectors=chunk.tokens.frame_vectors,
            pts_s=chunk.tokens.pts_s,
        )
        # The file holds only counts that a resumed run repeats exactly.
        stats = SampleStats(frames_sampled=n_frames)
        committed = engine.cache.put(kept, activity=chunk.activity, stats=stats)
        stream.remember(engine.cache.as_stored(latents))
        engine.index.add(kept.ref, kept.frame_vectors, kept.pts_s)
        yield committed
        ordinal += 1


def resume_points(engine: Engine, video: VideoId) -> tuple[ResumePoint, ...]:
    """Return what is left to read of a video: chunks missing in between, then from the last on.

    A file whose header is damaged is set aside. One process at a time may ingest a video: what a
    killed one left half written is swept away.
    """
    cache = engine.cache
    cache.sweep(video)
    points: dict[int, ResumePoint] = {}
    while True:
        whole = _whole_chunks(engine, video)
        starts = [n for n in range(max(whole, default=-1) + 2) if n not in whole]
        starts = [n for n in starts if n == 0 or n - 1 in whole]
        try:
            for start in starts:
                points[start] = _behind(engine, video, whole, start)
        except CorruptLatentsError:
            engine.set_aside(video, start - 1)
            continue
        return tuple(points[start] for start in starts)


def resume_point(engine: Engine, video: VideoId) -> ResumePoint:
    """Return where a single reader resumes; chunks behind one that is missing are dropped."""
    first = resume_points(engine, video)[0]
    for ordinal in engine.cache.ordinals(video):
        if ordinal > first.ordinal:
            engine.cache.drop(ChunkRef(video=video, ordinal=ordinal, span=ALL_TIME))
    return replace(first, n_chunks=None)


def stored_chunks(engine: Engine, video: VideoId) -> Iterator[ChunkCommitted]:
    """Yield the records of the chunks on disk again: rows can be rebuilt from them.

    Raises:
        CorruptLatentsError: A file's header fails its checksum.
    """
    for ordinal in engine.cache.ordinals(video):
        yield engine.cache.committed(video, ordinal)


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
    parts = [model.encode(replace(first, audio=audio)), *(model.encode(batch) for batch in rest)]
    return VisualTokens(
        embeddings=torch.cat([part.embeddings for part in parts]),
        frame_vectors=torch.cat([part.frame_vectors for part in parts]),
        pts_s=torch.cat([part.pts_s for part in parts]),
        audio=parts[0].audio,
    )


def hear(engine: Engine, span: TimeSpan, sound: SoundSource | None) -> AudioWindow | None:
    """Return the sound of a span; `None` where there is none, or for a model that does not hear."""
    if sound is None or not engine.model.card.wants_audio:
        return None
    samples = sound.window(span)
    if samples is None:
        return None
    return AudioWindow(samples=torch.from_numpy(samples), start_s=span.start_s)


def _whole_chunks(engine: Engine, video: VideoId) -> dict[int, ChunkCommitted]:
    """Read the header of every chunk, and set those aside that cannot be read."""
    whole = {}
    for ordinal in engine.cache.ordinals(video):
        try:
            whole[ordinal] = engine.cache.committed(video, ordinal)
        except CorruptLatentsError:
            engine.set_aside(video, ordinal)
    return whole


def _behind(
    engine: Engine, video: VideoId, whole: Mapping[int, ChunkCommitted], start: int
) -> ResumePoint:
    """Return the point behind the chunk before `start`, up to the next chunk that is there."""
    stop = min((ordinal for ordinal in whole if ordinal > start), default=None)
    n_chunks = None if stop is None else stop - start
    if start == 0:
        return ResumePoint(ordinal=0, after_s=None, frames_sampled=0, n_chunks=n_chunks)
    _, _, pts_s = engine.cache.frame_vectors(video, start - 1)
    return ResumePoint(
        ordinal=start,
        after_s=float(pts_s[-1]),
        frames_sampled=whole[start - 1].stats.frames_sampled,
        n_chunks=n_chunks,
    )


def _open_stream(engine: Engine, video: VideoId, ordinal: int) -> Stream:
    """Open the stream of a video behind its first `ordinal` chunks, as it was then."""
    past = engine.cache.tail(video, range(ordinal), engine.max_past_latents)
    return engine.model.open_stream(
        past,
        compression_ratio=engine.compression_ratio,
        max_past_latents=engine.max_past_latents,
    )


def _encoded(
    engine: Engine, frames: Iterable[Frame], info: MediaInfo, sound: SoundSource | None
) -> Iterator[EncodedChunk]:
    """Whole chunks of frames, encoded; each waits for the first frame of the next.

    A chunk ends when it is full, or where thinning ended a group of frames.
    """
    waiting: list[Frame] = []
    try:
        for frame in frames:
            is_full = len(waiting) == engine.model.card.chunk_frames
            if waiting and (is_full or frame.starts_chunk):
                yield _encode(engine, waiting, _end_s(engine, waiting, frame.pts_s), sound)
                waiting = []
            waiting.append(frame)
    except MediaDecodeError:
        if waiting:
            yield _encode(engine, waiting, _end_s(engine, waiting, None), sound)
        raise
    if waiting:
        yield _encode(engine, waiting, _end_s(engine, waiting, info.duration_s), sound)


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


def _encode(
    engine: Engine, frames: Sequence[Frame], end_s: float, sound: SoundSource | None
) -> EncodedChunk:
    span = TimeSpan(start_s=frames[0].pts_s, end_s=end_s)
    return EncodedChunk(
        tokens=encode_frames(engine.model, frames, hear(engine, span, sound)),
        span=span,
        activity=_activity(frames),
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


def _sum(earlier: SampleStats, now: SampleStats) -> SampleStats:
    names = [field.name for field in fields(SampleStats)]
    return SampleStats(**{name: getattr(earlier, name) + getattr(now, name) for name in names})
