"""Points at which the ingest of a video goes on: behind its chunks, and at those that miss."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from engine.errors import CorruptLatentsError
from engine.pipeline.engine import Engine
from engine.records import ALL_TIME, ChunkCommitted, ChunkRef, VideoId


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


def resume_points(
    engine: Engine, video: VideoId, known_bytes: Mapping[int, int] | None = None
) -> tuple[ResumePoint, ...]:
    """Return what is left to read of a video: chunks missing in between, then from the last on.

    A file whose header is damaged is set aside. One process at a time may ingest a video: what a
    killed one left half written is swept away.

    Args:
        engine: Whose cache holds the chunks.
        video: Of one reading.
        known_bytes: Sizes of files, by ordinal, that are trusted to be whole if they have this
            size; without it every header is read.
    """
    cache = engine.cache
    cache.sweep(video)
    points: dict[int, ResumePoint] = {}
    while True:
        whole = _whole_chunks(engine, video, known_bytes or {})
        starts = [n for n in range(max(whole, default=-1) + 2) if n not in whole]
        starts = [n for n in starts if n == 0 or n - 1 in whole]
        try:
            for start in starts:
                points[start] = _behind(engine, video, whole, start)
        except CorruptLatentsError as error:
            engine.set_aside(video, start - 1, error)
            continue
        return tuple(points[start] for start in starts)


def resume_point(engine: Engine, video: VideoId) -> ResumePoint:
    """Return where a single reader resumes; chunks behind one that is missing are dropped."""
    first = resume_points(engine, video)[0]
    for ordinal in engine.cache.ordinals(video):
        if ordinal > first.ordinal:
            engine.cache.drop(ChunkRef(video=video, ordinal=ordinal, span=ALL_TIME))
    return replace(first, n_chunks=None)


def stored_chunks(
    engine: Engine, video: VideoId, known_bytes: Mapping[int, int] | None = None
) -> Iterator[ChunkCommitted]:
    """Yield the records of the chunks on disk again: rows can be rebuilt from them.

    Args:
        engine: Whose cache holds the chunks.
        video: Of one reading.
        known_bytes: Sizes of files, by ordinal, of which nothing is yielded if they have them.
    Raises:
        CorruptLatentsError: A file's header fails its checksum.
    """
    known = (known_bytes or {}).items()
    for ordinal in sorted(dict(engine.cache.sizes(video).items() - known)):
        yield engine.cache.committed(video, ordinal)


def _whole_chunks(engine: Engine, video: VideoId, known_bytes: Mapping[int, int]) -> frozenset[int]:
    """Read the header of every chunk that is not known, and set those aside that are damaged."""
    whole = set()
    for ordinal, n_bytes in engine.cache.sizes(video).items():
        try:
            if known_bytes.get(ordinal) != n_bytes:
                engine.cache.committed(video, ordinal)
            whole.add(ordinal)
        except CorruptLatentsError as error:
            engine.set_aside(video, ordinal, error)
    return frozenset(whole)


def _behind(engine: Engine, video: VideoId, whole: Collection[int], start: int) -> ResumePoint:
    """Return the point behind the chunk before `start`, up to the next chunk that is there."""
    stop = min((ordinal for ordinal in whole if ordinal > start), default=None)
    n_chunks = None if stop is None else stop - start
    if start == 0:
        return ResumePoint(ordinal=0, after_s=None, frames_sampled=0, n_chunks=n_chunks)
    _, _, pts_s = engine.cache.frame_vectors(video, start - 1)
    return ResumePoint(
        ordinal=start,
        after_s=float(pts_s[-1]),
        frames_sampled=engine.cache.committed(video, start - 1).stats.frames_sampled,
        n_chunks=n_chunks,
    )
