"""A source to a row, a row to chunks: what an ingest job does, wherever it runs.

A chunk counts when its file is on disk and its row is in the database. After a kill the rows are
first brought up to the files, then reading goes on behind the last chunk.
"""

import shutil
import time
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Final

from app.config.engine_config import media_limits
from app.config.settings import Settings
from app.errors import hint_for
from app.progress import JobControl
from app.sandbox.reader import SandboxedReader, SandboxedSound, probe_foreign
from app.schemas.videos import IngestItem
from app.services.cameras import keep_address, resolve_references, source_address
from app.services.context import ServiceContext
from app.services.library import check_name
from app.services.sidecar import save_sidecar
from app.services.sources import identify
from app.timefmt import format_offset
from engine.errors import DiskFullError, LongwatchError, SoundOnlyError
from engine.media.address import is_live_uri, redact
from engine.pipeline.ingest import ResumePoint, ingest, resume_points, stored_chunks
from engine.records import ChunkCommitted, MediaInfo, SampleStats
from storage.records import Failure, JobRow, VideoRow, VideoStatus

KIND: Final = "ingest"

SAVE_INDEX_EVERY: Final = 256
"""Chunks between two saves of the index: what a crash leaves out is read from the latent files."""


def add_source(
    context: ServiceContext,
    source: str,
    *,
    name: str | None = None,
    start_at: datetime | None = None,
) -> VideoRow:
    """Probe a source and write it down; the same file again is the same video and keeps its name.

    Raises:
        InputRefusedError: Unsafe, unsupported, nothing to read in it, or no such name is allowed.
        UnreachableError: It is not there.
    """
    chosen = None if name is None else check_name(name)
    live = is_live_uri(source)
    identity = None if live else identify(Path(source))
    videos = context.catalog.videos
    known = None if identity is None else videos.find(identity)
    if known is not None:
        if not Path(known.uri).exists():
            # The original was moved: what is left to read of it is read where it lies now.
            known = videos.set_uri(known.id, source)
        # Its name may be somebody else's choice: `rename` changes it, another copy does not.
        return known
    video = videos.add(
        name=chosen or _name_of(source),
        uri=redact(source) if live else source,
        identity=identity,
        media=_probe(resolve_references(context, source), context.settings),
        start_at=start_at,
    )
    try:
        keep_address(context, video, source)
    except LongwatchError:
        videos.remove(video.id)
        raise
    return video


def enqueue_ingest(context: ServiceContext, video: VideoRow) -> JobRow:
    """Queue the reading of a video; a job that waits or runs already is returned."""
    for job in context.catalog.jobs.list("queued", "running", video=video.id):
        if job.kind == KIND:
            return job
    return context.catalog.jobs.add(KIND, {}, video=video.id, stream=video.id)


def run_ingest(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Read the video of a job."""
    assert job.video is not None, "an ingest job belongs to a video"
    read_video(context, context.catalog.videos.get(job.video), control)


def read_video(context: ServiceContext, video: VideoRow, control: JobControl) -> VideoRow:
    """Ingest a video from where it stands to its end, or until it has to stop.

    Raises:
        LongwatchError: It cannot go on; what was committed stays, and the row says why.
    """
    started = time.monotonic()
    catalog, engine = context.catalog, context.engine
    _check_reserve(context.settings)
    video = catalog.videos.begin_ingest(
        video.id,
        fingerprint=engine.fingerprint,
        model=f"{engine.model.card.family}/{engine.model.card.variant}",
        sample_fps=engine.sampling.fps,
        compression_ratio=engine.compression_ratio,
    )
    save_sidecar(context, video)
    engine.attach(video.id, engine.fingerprint)
    points = resume_points(engine, video.id)
    catalog.chunks.replace(video.id, engine.fingerprint, tuple(stored_chunks(engine, video.id)))
    stats, warnings = None, video.warnings
    try:
        for point in points:
            # What a camera showed cannot be read again.
            if not control.should_stop() and not (point.n_chunks and is_live_uri(video.uri)):
                stats, warnings = _read(context, video, point, control)
    except LongwatchError as error:
        catalog.videos.end_ingest(
            video.id, "failed", wall_s=time.monotonic() - started, failure=_failure(error)
        )
        raise
    except KeyboardInterrupt:
        # The job goes back to the queue, and so does its video.
        catalog.videos.end_ingest(video.id, "queued", wall_s=time.monotonic() - started)
        raise
    finally:
        engine.save_index()
    status: VideoStatus = "ready"
    if control.should_stop():
        status = "cancelled" if control.is_cancelled() else "queued"
    else:
        # One reading answers: what another pipeline read before would never be asked again.
        engine.cache.remove_superseded(video.id)
        catalog.chunks.keep_reading(video.id, engine.fingerprint)
    video = catalog.videos.end_ingest(
        video.id, status, wall_s=time.monotonic() - started, stats=stats, warnings=warnings
    )
    save_sidecar(context, video)
    return video


def describe_interruption(context: ServiceContext) -> str:
    """Return what an interrupted ingest has kept, and how to go on."""
    waiting = context.catalog.videos.list("queued")
    if not waiting:
        return "stopped; what was read is kept"
    row = max(waiting, key=lambda row: row.updated_at)
    return (
        f"stopped; {row.n_chunks} chunks of {row.name} are kept, up to "
        f"{format_offset(row.ingested_s)}, and can be asked about; the same command goes on there"
    )


def describe_ingest(row: VideoRow) -> IngestItem:
    """Return a video after its ingest as its document."""
    return IngestItem(
        video_id=row.id,
        name=row.name,
        status=row.status,
        duration_s=row.duration_s,
        chunks=row.n_chunks,
        frames_encoded=row.stats.frames_sampled,
        frames_skipped_static=row.stats.frames_skipped_static,
        latent_bytes=row.latent_bytes,
        wall_s=row.wall_s,
        realtime_factor=row.ingested_s / row.wall_s if row.wall_s else 0.0,
        model=row.model or "",
        fps=row.sample_fps or 0.0,
        compression_ratio=row.compression_ratio or 0,
        warnings=list(row.warnings),
    )


def _probe(source: str, settings: Settings) -> MediaInfo:
    """Return the facts of a source; one of sound alone is taken, for a model that hears."""
    limits = media_limits(settings)
    try:
        return probe_foreign(source, limits)
    except SoundOnlyError:
        return probe_foreign(source, limits, sound_only=True)


def _read(
    context: ServiceContext, video: VideoRow, point: ResumePoint, control: JobControl
) -> tuple[SampleStats | None, tuple[str, ...]]:
    """Commit chunk after chunk; the counts and warnings that belong into the row."""
    engine, settings = context.engine, context.settings
    started, start_s = time.monotonic(), point.after_s or 0.0
    committed: ChunkCommitted | None = None
    sound_only = video.media is not None and not video.media.has_picture
    if sound_only and not engine.model.card.wants_audio:
        raise SoundOnlyError(video.uri)
    reader = SandboxedReader(
        source_address(context, video),
        engine.sampling,
        limits=media_limits(settings),
        after_s=point.after_s,
        sound_only=sound_only,
    )
    with closing(reader), _sound(context, video, reader) as sound:
        chunks = ingest(
            engine, video.id, reader, sound=sound, resume=point, before=_before(video, point)
        )
        for committed in chunks:
            context.catalog.chunks.commit(committed)
            ordinal, position_s = committed.ref.ordinal, committed.ref.span.end_s
            elapsed_s = max(time.monotonic() - started, 1e-6)
            factor = (position_s - start_s) / elapsed_s
            control.progress(
                position_s,
                reader.info.duration_s,
                f"chunk {ordinal + 1}, {factor:.1f}x real time",
            )
            if ordinal % SAVE_INDEX_EVERY == SAVE_INDEX_EVERY - 1:
                engine.save_index()
                _check_reserve(settings)
            if control.should_stop():
                break
        return (None if committed is None else committed.stats), reader.info.warnings


def _sound(
    context: ServiceContext, video: VideoRow, reader: SandboxedReader
) -> AbstractContextManager[SandboxedSound | None]:
    """Open the sound of a file for a model that hears; a live source is not opened twice."""
    hears = context.engine.model.card.wants_audio and reader.info.has_audio
    if not hears or is_live_uri(video.uri):
        return nullcontext()
    return SandboxedSound(video.uri, limits=media_limits(context.settings))


def _before(video: VideoRow, point: ResumePoint) -> SampleStats | None:
    """Return the counts of earlier runs; none from the beginning, or for chunks in between."""
    return video.stats if point.ordinal and point.n_chunks is None else None


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
