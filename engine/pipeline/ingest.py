"""Visual tokens to latents, chunk by chunk: into the cache first, then the index.

Steps of one chunk follow each other; steps of different chunks may overlap, each on a thread of
its own (`Prefetch`): decode | resize | towers | compress | commit. Commits stay on the caller's
thread and in order, one chunk behind.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Final, Protocol, TypeVar, runtime_checkable

from engine import device as devices
from engine.allocator import return_free_memory
from engine.cache.stills import Still, StillStore
from engine.media.frame import Frame
from engine.media.prefetch import Prefetch
from engine.pipeline.encode import (
    EncodedChunk,
    SoundSource,
    encoded_chunks,
    ready_chunks,
    sampled_frames,
)
from engine.pipeline.engine import Engine
from engine.pipeline.resume import ResumePoint, resume_point
from engine.protocols import Stream
from engine.records import (
    ChunkCommitted,
    ChunkRef,
    MediaInfo,
    SampleStats,
    VideoId,
)
from engine.tensors import ChunkLatents

FRAMES_AHEAD: Final = 4
"""Frames decoded ahead of a model that runs on the CPU."""
CHUNKS_AHEAD: Final = 1
"""Chunks that wait between two overlapping steps; each step holds one more."""

TRIM_CHUNKS: Final = 64
"""Chunks between two returns of free memory to the system: less than a thousandth of their time."""

Chunk = TypeVar("Chunk")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoldedChunk:
    """A chunk whose latents are computed and not yet stored."""

    kept: ChunkLatents
    activity: float
    stills: tuple[Still, ...]
    n_frames: int
    """Sampled up to its end."""


def ingest(
    engine: Engine,
    video: VideoId,
    frames: FrameSource,
    *,
    sound: SoundSource | None = None,
    resume: ResumePoint | None = None,
    before: SampleStats | None = None,
    stills: StillStore | None = None,
    overlaps: bool | None = None,
    trim_chunks: int | None = TRIM_CHUNKS,
) -> Generator[ChunkCommitted, None, None]:
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
        stills: Where the frames are kept as pictures; a chunk that is yielded has its own there.
        overlaps: Whether decoding, resizing, towers, compression and commits each have a thread;
            `None` gives them one where the model runs on an accelerator. On a CPU they would
            only take the model's cores.
        trim_chunks: Chunks between two returns of free memory to the system; `None` leaves it
            to the C library.
    Raises:
        DiskFullError: No space; what was yielded is kept, and running again goes on from there.
        MediaDecodeError: The source broke; the frames before are committed first.
    Cost: memory for one chunk of frames (a few, where steps overlap) and the stream's bounded
        past; time per chunk is constant.
    """
    resume = resume or resume_point(engine, video)
    earlier = before or SampleStats(frames_sampled=resume.frames_sampled)
    after_s = resume.after_s
    new = (frame for frame in frames if after_s is None or frame.pts_s > after_s)
    sampled = sampled_frames(new, None if stills is None else stills.config)
    is_beside = engine.device.type != "cpu" if overlaps is None else overlaps
    # Beside an accelerator two chunks of frames wait; on the CPU a few keep memory flat.
    depth = 2 * engine.model.card.chunk_frames if is_beside else FRAMES_AHEAD
    with ExitStack() as threads:
        ahead = threads.enter_context(Prefetch(sampled, depth=depth))

        def beside(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            if not is_beside:
                return chunks
            return threads.enter_context(Prefetch(chunks, depth=CHUNKS_AHEAD))

        ready = beside(ready_chunks(engine, ahead, frames.info, sound))
        encoded = beside(islice(encoded_chunks(engine, ready), resume.n_chunks))
        folded = beside(_folded(engine, video, encoded, resume))
        kept = _with_stills_kept(engine, video, folded, stills, frames.info)
        for committed in _committed(engine, kept):
            yield replace(committed, stats=_sum(earlier, frames.stats))
            if trim_chunks and committed.ref.ordinal % trim_chunks == trim_chunks - 1:
                return_free_memory()


def ingest_encoded(
    engine: Engine,
    video: VideoId,
    chunks: Iterable[EncodedChunk],
    *,
    resume: ResumePoint,
) -> Iterator[ChunkCommitted]:
    """Fold, store and index chunks whose frames are encoded already."""
    yield from _committed(engine, _folded(engine, video, chunks, resume))


def _open_stream(engine: Engine, video: VideoId, ordinal: int) -> Stream:
    """Open the stream of a video behind its first `ordinal` chunks, as it was then."""
    past = engine.cache.tail(video, range(ordinal), engine.max_past_latents)
    return engine.model.open_stream(
        past,
        compression_ratio=engine.compression_ratio,
        max_past_latents=engine.max_past_latents,
    )


def _folded(
    engine: Engine, video: VideoId, chunks: Iterable[EncodedChunk], resume: ResumePoint
) -> Iterator[_FoldedChunk]:
    """Compress chunks in their order, each behind what is stored of those before it."""
    ordinal, n_frames = resume.ordinal, resume.frames_sampled
    with devices.lane(engine.device, "compress"):
        stream = _open_stream(engine, video, ordinal)
    for chunk in chunks:
        n_frames += len(chunk.tokens.pts_s)
        with engine.compress_turns.taken(), devices.lane(engine.device, "compress"):
            latents = engine.model.compress(chunk.tokens, stream)
            stream.remember(engine.cache.as_stored(latents))
            # Whoever commits this chunk reads it from another thread.
            devices.finish(engine.device)
        kept = ChunkLatents(
            ref=ChunkRef(video=video, ordinal=ordinal, span=chunk.span),
            latents=latents,
            frame_vectors=chunk.tokens.frame_vectors,
            pts_s=chunk.tokens.pts_s,
        )
        yield _FoldedChunk(
            kept=kept, activity=chunk.activity, stills=chunk.stills, n_frames=n_frames
        )
        ordinal += 1


def _committed(engine: Engine, chunks: Iterable[_FoldedChunk]) -> Iterator[ChunkCommitted]:
    """Store and index chunks; one that is yielded is on disk, with all before it."""
    for chunk in chunks:
        kept = chunk.kept
        # The file holds only counts that a resumed run repeats exactly.
        stats = SampleStats(frames_sampled=chunk.n_frames)
        committed = engine.cache.put(kept, activity=chunk.activity, stats=stats)
        engine.index.add([(kept.ref, kept.frame_vectors, kept.pts_s)])
        yield committed


def _with_stills_kept(
    engine: Engine,
    video: VideoId,
    chunks: Iterable[_FoldedChunk],
    stills: StillStore | None,
    info: MediaInfo,
) -> Iterator[_FoldedChunk]:
    """Yield chunks whose stills are written: with its latents a chunk counts, and is not reread."""
    is_first = True
    for chunk in chunks:
        if stills is not None:
            if is_first:
                stills.keep_reading(video, engine.fingerprint)
            stills.put(
                video,
                chunk.kept.ref.ordinal,
                chunk.stills,
                end_s=chunk.kept.ref.span.end_s,
                reading=engine.fingerprint,
                durable=engine.config.durable and info.is_live,
            )
        is_first = False
        yield chunk


def _sum(earlier: SampleStats, now: SampleStats) -> SampleStats:
    names = [field.name for field in fields(SampleStats)]
    return SampleStats(**{name: getattr(earlier, name) + getattr(now, name) for name in names})
