"""A source to a row, a row to chunks: what an ingest job does, wherever it runs.

A chunk counts when its file is on disk and its row is in the database. After a kill the rows are
first brought up to the files, then reading goes on behind the last chunk.
"""

import shlex
import shutil
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Final

from app.config.engine_config import media_limits
from app.config.settings import Settings
from app.errors import hint_for
from app.progress import JobControl
from app.sandbox.reader import ReadingStoppedError, SandboxedReader, SandboxedSound
from app.schemas.videos import IngestItem
from app.services.cameras import source_address
from app.services.context import ServiceContext
from app.services.feeds import LaterFrames, add_feed, elapsed_s, is_feed, probe_source
from app.services.library import check_name
from app.services.objects import publish_video
from app.services.observe import enqueue_observe, observe_camera
from app.services.originals import held_file, original_path
from app.services.resume import INTERRUPTED, bring_rows_up
from app.services.sidecar import save_sidecar
from app.services.sources import FileLook, has_grown, look_at
from app.services.wall_clock import (
    OWN_CLOCKS,
    ClockChange,
    change_clock,
    check_zone,
    follow_chapters,
    kept_zone,
    read_clock,
    save_clock,
)
from app.timefmt import format_clock, wall_clock
from engine.errors import (
    DiskFullError,
    InputRefusedError,
    LeaseLostError,
    LongwatchError,
    MediaRefusedError,
    SoundOnlyError,
)
from engine.media.address import is_live_uri
from engine.pipeline.ingest import FrameSource, ingest
from engine.pipeline.resume import ResumePoint
from engine.plural import counted
from engine.records import ChunkCommitted, MediaInfo, SampleStats, VideoId
from storage.catalog import utc_now
from storage.files import HomeFolder
from storage.records import Failure, JobRow, StartClock, VideoRow, VideoStatus

SAVE_INDEX_EVERY: Final = 256
"""Chunks between two saves of the index: what a crash leaves out is read from the latent files."""


def add_source(
    context: ServiceContext,
    source: str,
    *,
    name: str | None = None,
    clock: StartClock | None = None,
    keeps_own_clock: bool = False,
    corrects_clock: bool = True,
    settled: Collection[VideoId] = (),
    timezone: str | None = None,
    video_track: int | None = None,
    file_name: str | None = None,
) -> VideoRow:
    """Probe a source and write it down; the same file again is the same video and keeps its name.

    A file that was appended to since is the same video too, and waits to be read on.

    Args:
        clock: Wall clock of the first frame; what the file itself states when `None`.
        keeps_own_clock: Whether what a recorder wrote into file or name goes before `clock`.
        corrects_clock: Whether `clock` is for a video that is here already too.
        settled: Videos that stay as they are, because a file like this was added just now.
        timezone: Where it was filmed.
        video_track: The stream to read where there are several pictures.
        file_name: As the sender calls an upload.
    Raises:
        InputRefusedError: Unsafe, unsupported, nothing to read in it, or no such name is allowed.
        UnreachableError: It is not there.
    """
    chosen = None if name is None else check_name(name)
    zone = None if timezone is None else check_zone(timezone)
    if is_live_uri(source):
        return add_feed(context, source, name=chosen, clock=clock, timezone=zone)
    look = look_at(Path(source))
    known = _known(context, source, look)
    if known is not None:
        _check_track(known, video_track)
        if known.id in settled:
            return known
        if known.clock is not None and not corrects_clock:
            return known
        if clock is None or (keeps_own_clock and known.start_source in OWN_CLOCKS):
            return change_clock(context, known, ClockChange(timezone=zone))
        if zone is None and not clock.is_local:
            zone = known.timezone
        zone = kept_zone(context.settings, clock, zone)
        return save_clock(context, known, clock, timezone=zone)
    settings = context.settings
    media, track = _probe_track(source, settings, video_track)
    called = file_name or Path(source).name
    own = read_clock(settings, media, called, zone)
    if clock is None or (keeps_own_clock and own is not None and own.source in OWN_CLOCKS):
        clock = own
    return context.catalog.videos.add(
        name=chosen or _name_of(source),
        uri=source,
        identity=look.identity,
        media=media,
        clock=clock,
        timezone=kept_zone(settings, clock, zone),
        file_name=called,
        content=look.content,
        video_track=track,
    )


def _known(context: ServiceContext, source: str, look: FileLook) -> VideoRow | None:
    """Return the video that a file is already, brought up to where the file lies and ends now."""
    videos = context.catalog.videos
    known = videos.find(look.identity)
    if known is not None:
        if not Path(known.uri).exists():
            # The original was moved: what is left to read of it is read where it lies now.
            known = videos.set_uri(known.id, source)
        # Its name may be somebody else's choice: `rename` changes it, another copy does not.
        return known
    here = videos.find_at(source)
    if here is None or not has_grown(here, Path(source), look):
        return None
    if here.status in {"queued", "ingesting"}:
        # Whoever reads it finds the end as it is then; the next look finds what came later.
        return here
    media = probe_source(source, context.settings, here.video_track)
    HomeFolder(context.settings.home).remove_previews(here.id)
    return videos.set_grown(here.id, identity=look.identity, content=look.content, media=media)


def _check_track(video: VideoRow, video_track: int | None) -> None:
    if video_track is not None and video_track != video.video_track:
        raise InputRefusedError(
            f"{video.name} is in the library already, read from another stream",
            hint=f"`longwatch videos rm {shlex.quote(video.name)}`, then ingest it again",
        )


def run_ingest(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Read the video of a job."""
    assert job.video is not None, "an ingest job belongs to a video"
    video = read_video(context, context.catalog.videos.get(job.video), control, holder=job)
    if video.status == "ready":
        enqueue_observe(context, video, has_more=True)


def read_video(
    context: ServiceContext,
    video: VideoRow,
    control: JobControl,
    *,
    holder: JobRow | None = None,
) -> VideoRow:
    """Ingest a video from where it stands to its end, or until it has to stop.

    Args:
        holder: The job that it is read for: a worker that has lost it to another changes nothing.
    Raises:
        LeaseLostError: Another worker reads it by now.
        LongwatchError: It cannot go on; what was committed stays, and the row says why.
    """
    started = time.monotonic()
    catalog, engine = context.catalog, context.engine
    _check_reserve(context.settings)
    is_resumed = video.status in INTERRUPTED
    if is_feed(video) and video.n_chunks and video.fingerprint != engine.fingerprint:
        # What another pipeline has read of it is not shown again: it stays, and has ended.
        return catalog.videos.end_ingest(video.id, "ready", wall_s=0.0, holder=holder)
    video = catalog.videos.begin_ingest(
        video.id,
        fingerprint=engine.fingerprint,
        model=f"{engine.model.card.family}/{engine.model.card.variant}",
        sample_fps=engine.sampling.fps,
        compression_ratio=engine.compression_ratio,
        holder=holder,
    )
    save_sidecar(context, video)
    engine.attach(video.id, engine.fingerprint)
    if video.has_grown:
        # Its last chunk ended where the file did then; read whole, it is as if never disturbed.
        engine.drop_last(video.id)
    stats, warnings = None, video.warnings
    end = partial(catalog.videos.end_ingest, video.id, holder=holder)
    try:
        # What an object store did not take in time: a row may only speak of what is there.
        publish_video(context, video)
        points = bring_rows_up(context, video, is_resumed=is_resumed, holder=holder)
        for point in points:
            # What a feed showed cannot be read again.
            if not control.should_stop() and not (point.n_chunks and is_feed(video)):
                stats, warnings = _read(context, video, point, control, holder)
    except LeaseLostError:
        raise
    except LongwatchError as error:
        end("failed", wall_s=time.monotonic() - started, failure=_failure(error))
        raise
    except KeyboardInterrupt:
        # The job goes back to the queue, and so does its video.
        end("queued", wall_s=time.monotonic() - started)
        raise
    finally:
        engine.save_index()
    status: VideoStatus = "ready"
    if control.should_stop():
        status = "cancelled" if control.is_cancelled() else "queued"
    else:
        catalog.jobs.check_held(holder)
        # One reading answers: what another pipeline read before would never be asked again.
        engine.cache.remove_superseded(video.id)
        catalog.chunks.keep_reading(video.id, engine.fingerprint, holder=holder)
    video = end(status, wall_s=time.monotonic() - started, stats=stats, warnings=warnings)
    save_sidecar(context, video)
    follow_chapters(context, video)
    return context.catalog.videos.get(video.id)


def describe_interruption(context: ServiceContext) -> str:
    """Return what an interrupted ingest has kept, and how to go on."""
    waiting = context.catalog.videos.list("queued")
    if not waiting:
        return "stopped; what was read and observed is kept, the same command or a worker goes on"
    row = max(waiting, key=lambda row: row.updated_at)
    return (
        f"stopped; kept {counted(row.n_chunks, 'chunk')} of {row.name}, up to "
        f"{format_clock(row.ingested_s)}, which can be asked about; the same command goes on there"
    )


def describe_ingest(context: ServiceContext, row: VideoRow) -> IngestItem:
    """Return a video after its ingest as its document."""
    zone = context.settings.media.zone(row.timezone)
    return IngestItem(
        video_id=row.id,
        name=row.name,
        status=row.status,
        duration_s=row.duration_s,
        start_at=wall_clock(row.start_at, 0.0, zone),
        start_source=row.start_source,
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


def _probe_track(
    source: str, settings: Settings, video_track: int | None
) -> tuple[MediaInfo, int | None]:
    """Return the facts of a file, and the stream that was chosen for it.

    The stream of the settings is for files that hold it; one that is asked for must be there.
    """
    usual = settings.media.video_track
    if video_track is None and usual is not None:
        with suppress(MediaRefusedError):
            return probe_source(source, settings, usual), usual
    return probe_source(source, settings, video_track), video_track


def _read(
    context: ServiceContext,
    video: VideoRow,
    point: ResumePoint,
    control: JobControl,
    holder: JobRow | None,
) -> tuple[SampleStats | None, tuple[str, ...]]:
    """Commit chunk after chunk; the counts and warnings that belong into the row."""
    engine, settings = context.engine, context.settings
    started, start_s = time.monotonic(), point.after_s or 0.0
    goes_on = is_feed(video) and point.after_s is not None
    committed: ChunkCommitted | None = None
    warnings = video.warnings
    sound_only = video.media is not None and not video.media.has_picture
    if sound_only and not engine.model.card.wants_audio:
        if "speech" not in settings.sight.observers:
            raise SoundOnlyError(video.uri)
        # The model has nothing to look at; what is said is found by the observer of speech.
        return None, video.warnings
    address = source_address(context, video)
    with suppress(ReadingStoppedError), ExitStack() as stack:
        if not is_live_uri(video.uri):
            original = original_path(context, video)
            address = str(stack.enter_context(held_file(context, original)))
        reader = SandboxedReader(
            address,
            engine.sampling,
            limits=media_limits(settings, video.video_track),
            after_s=None if goes_on else point.after_s,
            sound_only=sound_only,
            is_wanted=lambda: not control.should_stop(),
        )
        frames: FrameSource = reader
        if goes_on:
            start_s = elapsed_s(video, point, utc_now())
            frames = LaterFrames(reader, start_s)
        elif reader.info.is_live and point.ordinal == 0 and video.start_source in {None, "live"}:
            clock = StartClock(at=utc_now(), source="live")
            save_clock(context, video, clock, timezone=video.timezone, holder=holder)
        chunks = ingest(
            engine,
            video.id,
            frames,
            sound=stack.enter_context(_sound(context, video, reader)),
            resume=point,
            before=_before(video, point),
            stills=context.stills,
        )
        # The reader is closed first: what reads ahead would wait for a camera's next picture.
        stack.enter_context(closing(chunks))
        stack.enter_context(closing(reader))
        for committed in chunks:
            context.catalog.chunks.commit(committed, holder=holder)
            ordinal, position_s = committed.ref.ordinal, committed.ref.span.end_s
            factor = (position_s - start_s) / max(time.monotonic() - started, 1e-6)
            observe_camera(context, video, committed)
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
        warnings = reader.info.warnings
    return (None if committed is None else committed.stats), warnings


def _sound(
    context: ServiceContext, video: VideoRow, reader: SandboxedReader
) -> AbstractContextManager[SandboxedSound | None]:
    """Open the sound of a file for a model that hears; a live source is not opened twice."""
    hears = context.engine.model.card.wants_audio and reader.info.has_audio
    if not hears or is_live_uri(video.uri):
        return nullcontext()
    address = str(original_path(context, video))
    return SandboxedSound(address, limits=media_limits(context.settings, video.video_track))


def _before(video: VideoRow, point: ResumePoint) -> SampleStats | None:
    """Return the counts of earlier runs; none from the beginning, or for chunks in between."""
    return video.stats if point.ordinal and point.n_chunks is None else None


def _check_reserve(settings: Settings) -> None:
    # Without numbers: the message stays with the video, and viewers read it.
    if shutil.disk_usage(settings.home).free < settings.limits.disk_reserve_bytes:
        raise DiskFullError(
            f"less than the reserve is free below {settings.home}",
            hint="free space, or lower the setting limits.disk_reserve_bytes; "
            "`longwatch doctor` shows how much is free",
        )


def _failure(error: LongwatchError) -> Failure:
    return Failure(code=error.code, message=str(error), hint=hint_for(error))


def _name_of(source: str) -> str:
    return Path(source).stem or Path(source).name
