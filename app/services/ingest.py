"""A source to a row, a row to chunks: what an ingest job does, wherever it runs.

A chunk counts when its file is on disk and its row is in the database. After a kill the rows are
first brought up to the files, then reading goes on behind the last chunk.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.config.engine_config import media_limits
from app.config.settings import Settings
from app.errors import hint_for
from app.sandbox.reader import SandboxedReader, SandboxedSound, probe_foreign
from app.services.sources import identify
from engine.errors import DiskFullError, LongwatchError, SoundOnlyError
from engine.media.source import is_live_uri, redact
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ResumePoint, ingest, resume_point, stored_chunks
from engine.records import ChunkCommitted, MediaInfo, SampleStats
from storage.catalog import Catalog
from storage.records import Failure, VideoRow, VideoStatus

KIND = "ingest"

SAVE_INDEX_EVERY = 256
"""Chunks between two saves of the index: what a crash leaves out is read from the latent files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How far an ingest is."""

    video: VideoRow
    n_chunks: int
    position_s: float
    """End of the last chunk."""
    duration_s: float | None
    realtime_factor: float
    """Seconds of video per second of this run."""


def add_source(
    catalog: Catalog,
    settings: Settings,
    source: str,
    *,
    name: str | None = None,
    start_at: datetime | None = None,
) -> VideoRow:
    """Write down a source; the same file again is the same video.

    Raises:
        InputRefusedError: Unsafe, unsupported, or nothing to read in it.
        UnreachableError: It is not there.
    """
    live = is_live_uri(source)
    identity = None if live else identify(Path(source))
    known = None if identity is None else catalog.videos.find(identity)
    if known is not None:
        return known if name is None else catalog.videos.rename(known.id, name)
    return catalog.videos.add(
        name=name or _name_of(source),
        uri=source,
        identity=identity,
        media=_probe(source, settings),
        start_at=start_at,
    )


def _probe(source: str, settings: Settings) -> MediaInfo:
    """What a source is; one of sound alone is taken, for a model that hears."""
    limits = media_limits(settings)
    try:
        return probe_foreign(source, limits)
    except SoundOnlyError:
        return probe_foreign(source, limits, sound_only=True)


def read_video(
    catalog: Catalog,
    engine: Engine,
    settings: Settings,
    video: VideoRow,
    *,
    report: Callable[[Reading], None],
    should_stop: Callable[[], bool] = lambda: False,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> VideoRow:
    """Ingest a video from where it stands to its end, or until it has to stop.

    Raises:
        LongwatchError: It cannot go on; what was committed stays, and the row says why.
    """
    started = time.monotonic()
    _check_reserve(settings)
    video = catalog.videos.begin_ingest(
        video.id,
        fingerprint=engine.fingerprint,
        model=f"{engine.model.card.family}/{engine.model.card.variant}",
        sample_fps=engine.sampling.fps,
        compression_ratio=engine.compression_ratio,
    )
    engine.attach(video.id, engine.fingerprint)
    point = resume_point(engine, video.id)
    catalog.videos.replace_chunks(
        video.id, engine.fingerprint, tuple(stored_chunks(engine, video.id))
    )
    try:
        stats, warnings = _read(catalog, engine, settings, video, point, report, should_stop)
    except LongwatchError as error:
        catalog.videos.end_ingest(
            video.id, "failed", wall_s=time.monotonic() - started, failure=_failure(error)
        )
        raise
    finally:
        engine.save_index()
    status: VideoStatus = "ready"
    if should_stop():
        status = "cancelled" if is_cancelled() else "queued"
    return catalog.videos.end_ingest(
        video.id, status, wall_s=time.monotonic() - started, stats=stats, warnings=warnings
    )


def _read(
    catalog: Catalog,
    engine: Engine,
    settings: Settings,
    video: VideoRow,
    point: ResumePoint,
    report: Callable[[Reading], None],
    should_stop: Callable[[], bool],
) -> tuple[SampleStats | None, tuple[str, ...]]:
    started = time.monotonic()
    start_s = point.after_s or 0.0
    committed: ChunkCommitted | None = None
    sound_only = video.media is not None and not video.media.has_picture
    if sound_only and not engine.model.card.wants_audio:
        raise SoundOnlyError(video.uri)
    reader = SandboxedReader(
        video.uri,
        engine.sampling,
        limits=media_limits(settings),
        after_s=point.after_s,
        sound_only=sound_only,
    )
    with closing(reader), _sound(engine, settings, video, reader) as sound:
        chunks = ingest(
            engine, video.id, reader, sound=sound, resume=point, before=_before(video, point)
        )
        for committed in chunks:
            catalog.videos.commit_chunk(committed)
            position_s = committed.ref.span.end_s
            elapsed_s = max(time.monotonic() - started, 1e-6)
            report(
                Reading(
                    video=video,
                    n_chunks=committed.ref.ordinal + 1,
                    position_s=position_s,
                    duration_s=reader.info.duration_s,
                    realtime_factor=(position_s - start_s) / elapsed_s,
                )
            )
            if committed.ref.ordinal % SAVE_INDEX_EVERY == SAVE_INDEX_EVERY - 1:
                engine.save_index()
                _check_reserve(settings)
            if should_stop():
                break
        return (None if committed is None else committed.stats), reader.info.warnings


def _sound(
    engine: Engine, settings: Settings, video: VideoRow, reader: SandboxedReader
) -> AbstractContextManager[SandboxedSound | None]:
    """The sound of a file, for a model that hears; a live source is not opened a second time."""
    hears = engine.model.card.wants_audio and reader.info.has_audio
    if not hears or is_live_uri(video.uri):
        return nullcontext()
    return SandboxedSound(video.uri, limits=media_limits(settings))


def _before(video: VideoRow, point: ResumePoint) -> SampleStats | None:
    """Counts of earlier runs; none when reading starts afresh."""
    return video.stats if point.ordinal else None


def _check_reserve(settings: Settings) -> None:
    free_bytes = shutil.disk_usage(settings.home).free
    if free_bytes < settings.limits.disk_reserve_bytes:
        raise DiskFullError(
            f"{free_bytes / 1e9:.2f} GB are free below {settings.home}, less than the reserve of "
            f"{settings.limits.disk_reserve_bytes / 1e9:.2f} GB",
            hint="free space, or lower the setting limits.disk_reserve_bytes",
        )


def _failure(error: LongwatchError) -> Failure:
    return Failure(code=error.code, message=str(error), hint=hint_for(error))


def _name_of(source: str) -> str:
    if is_live_uri(source):
        return redact(source)
    return Path(source).stem or Path(source).name
