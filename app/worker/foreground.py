"""Long use cases here and now, for somebody who waits: still as jobs.

A job, so that a worker elsewhere does not read the same video too; one that it reads already is
watched instead.
"""

import shlex
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from app.errors import ReportedError
from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.captions import CaptionRunResponse
from app.schemas.errors import describe_error
from app.schemas.videos import IngestItem, IngestResponse, LibraryResponse
from app.services.access import find_video
from app.services.captions import describe_run, enqueue_captions
from app.services.context import ServiceContext
from app.services.ingest import add_source, describe_ingest
from app.services.ingest_jobs import enqueue_ingest
from app.services.library import finish_removals, show_video
from app.services.observe import enqueue_observe, is_observed
from app.services.sources import describe_skipped, expand, is_folder
from app.services.vectors import STAGE as VECTORS
from app.services.wall_clock import OWN_CLOCKS, user_clock
from app.timefmt import clock_text
from app.worker.handlers import open_observing_worker, open_worker
from app.worker.worker import Worker
from engine.errors import InputRefusedError, LongwatchError, NotFoundError, UnreachableError
from engine.media.address import is_live_uri
from engine.records import VideoId
from engine.sight.observer import kind_of
from storage.records import JobProgress, JobRow, StartClock, VideoRow

WATCH_EVERY_S = 5.0
"""Pause between two looks at watched sources."""
SETTLED_AFTER_S = 60.0
"""A file that cannot be read and was written to more recently may still be whole one day."""

WatchPass = Literal["first", "again"]
_FIRST: Final[WatchPass] = "first"
_AGAIN: Final[WatchPass] = "again"


def run_now(
    context: ServiceContext,
    job: JobRow,
    what: str,
    report: ProgressCallback = no_progress,
    *,
    stopping: threading.Event | None = None,
) -> JobRow:
    """Do a job in this process, or watch the worker that has it, until it ends.

    Args:
        what: The name of the work in its progress.
        stopping: Set from elsewhere, it hands the job back as Ctrl-C does.
    Raises:
        LongwatchError: The job failed.
        KeyboardInterrupt: Ctrl-C; what is done is kept, and the job is handed back.
    """

    def watch(progress: JobProgress) -> None:
        report(
            ProgressUpdate(what=what, done=progress.done, total=progress.total, note=progress.note)
        )

    worker = open_worker(context, stopping=stopping)
    with _stopped_by_interrupt(worker):
        row = worker.run_job(job.id, watch=watch)
    if row.failure is not None:
        raise ReportedError(row.failure.code, row.failure.message, hint=row.failure.hint)
    if stopping is not None and stopping.is_set():
        hint = "what is done is kept; the same command goes on there"
        raise UnreachableError(f"{what}: the server stops", hint=hint)
    return row


def ingest_now(
    context: ServiceContext,
    sources: Sequence[str],
    *,
    name: str | None = None,
    start_at: datetime | None = None,
    timezone: str | None = None,
    video_track: int | None = None,
    watch: WatchPass | None = None,
    observes: bool = True,
    report: ProgressCallback = no_progress,
    stopping: threading.Event | None = None,
) -> IngestResponse:
    """Read sources to their end, then observe them; what was done before is not done again.

    Of several sources, one that fails does not stop the others: the document names it.

    Args:
        start_at: Wall clock of the first file; each file behind it begins where the one before
            ended, unless a recorder's header or its name states a clock of its own.
        watch: Where sources are looked at again and again: what is missing or half written is
            waited for.
        observes: Whether to wait for the observers; else their jobs are left to a worker. A
            camera, whose reading has no end, is observed while it is read.
    """
    context.catalog.check_writable()
    finish_removals(context)
    start = None if start_at is None else user_clock(context.settings, start_at, timezone)
    files, failures, waiting = _expanded(sources, watch)
    n_given, clock = len(files) + len(failures), start
    rows: dict[VideoId, VideoRow] = {}
    copies: list[str] = []
    items: list[IngestItem] = []
    for index, file in enumerate(files):
        row: VideoRow | None = None
        try:
            row = add_source(
                context,
                file,
                name=name,
                clock=clock,
                keeps_own_clock=index > 0,
                corrects_clock=watch != "again",
                settled=rows,
                timezone=timezone,
                video_track=video_track,
            )
            if row.id in rows:
                copies.append(f"{file} holds the same as {row.name}, which is read once")
                continue
            with _observed_beside(context, row) if observes else nullcontext():
                row = _read_now(context, row, report, stopping)
            rows[row.id] = row
            items.append(_describe(context, row, name))
            if start is not None and index > 0:
                items[-1].warnings += _clock_notes(items[-1])
        except LongwatchError as error:
            if watch is not None and _is_half_written(file, error):
                waiting.append(f"{file} is still being written; it is looked at again")
            else:
                failures.append(error)
        if start is not None:
            clock = _following(start, row)
    if failures and n_given == 1 and not _goes_on(sources, watch):
        raise failures[0]
    for row in rows.values() if observes else ():
        try:
            _observe_now(context, row, report, stopping)
        except LongwatchError as error:
            failures.append(error)
    return IngestResponse(
        videos=items,
        failures=[describe_error(error).error for error in failures],
        skipped=[*filter(None, map(describe_skipped, sources)), *copies, *waiting],
    )


def watch_sources(
    context: ServiceContext,
    sources: Sequence[str],
    *,
    name: str | None = None,
    start_at: datetime | None = None,
    timezone: str | None = None,
    video_track: int | None = None,
    observes: bool = True,
    report: ProgressCallback = no_progress,
) -> IngestResponse:
    """Ingest again and again until Ctrl-C: new and growing files of a folder, cameras that return.

    What was read before is known by its content and costs a look, nothing more.
    """
    document, watch = IngestResponse(videos=[]), _FIRST
    try:
        while True:
            document = ingest_now(
                context,
                sources,
                name=name,
                start_at=start_at,
                timezone=timezone,
                video_track=video_track,
                watch=watch,
                observes=observes,
                report=report,
            )
            watch = _AGAIN
            time.sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        return document


def observe_now(
    context: ServiceContext,
    name: str,
    only: Sequence[str] = (),
    *,
    again: bool = False,
    report: ProgressCallback = no_progress,
) -> LibraryResponse:
    """Run observers over a video, each from where it stopped.

    Args:
        name: The video's id or name.
        only: Observers; those of the settings when empty.
        again: Whether to delete first what they said before.
    Returns:
        The video with what was observed.
    Raises:
        NotFoundError: No such video or observer, or the settings name none.
    """
    video = find_video(context, name)
    for observer in set(only) - {VECTORS}:
        kind_of(observer)
    job = enqueue_observe(context, video, only, again=again)
    if job is None:
        raise NotFoundError("the setting sight.observers is empty", hint="name one with --only")
    run_now(context, job, video.name, report)
    return show_video(context, video.id)


def caption_now(
    context: ServiceContext,
    name: str,
    report: ProgressCallback = no_progress,
    *,
    stopping: threading.Event | None = None,
) -> CaptionRunResponse:
    """Describe every chunk of a video that has no caption yet.

    Args:
        name: The video's id or name.
    Raises:
        NotFoundError: No such video, or this model holds nothing of it.
    """
    started = time.monotonic()
    video = find_video(context, name)
    n_before = len(context.catalog.captions.list(video.id))
    queued = enqueue_captions(context, video)
    job = run_now(context, queued, video.name, report, stopping=stopping)
    return describe_run(context, video, job, n_before=n_before, wall_s=time.monotonic() - started)


def _expanded(
    sources: Sequence[str], watch: WatchPass | None
) -> tuple[list[str], list[LongwatchError], list[str]]:
    """Return the files of all sources, why some have none, and what is waited for."""
    files: list[str] = []
    failures: list[LongwatchError] = []
    waiting: list[str] = []
    for source in sources:
        try:
            files += expand([source])
        except LongwatchError as error:
            if watch is not None and is_folder(source):
                waiting.append(f"no video in {source} yet")
            else:
                failures.append(error)
    return files, failures, waiting


def _goes_on(sources: Sequence[str], watch: WatchPass | None) -> bool:
    """Return whether a failure is no reason to stop: of a folder, or of what was read before."""
    return watch == "again" or (watch == "first" and is_folder(sources[0]))


def _is_half_written(file: str, error: LongwatchError) -> bool:
    """Return whether a file that cannot be read has changed too recently to be given up."""
    try:
        age_s = time.time() - Path(file).stat().st_mtime
    except (OSError, ValueError):
        return False
    return isinstance(error, InputRefusedError) and age_s < SETTLED_AFTER_S


def _following(start: StartClock, row: VideoRow | None) -> StartClock | None:
    """Return the clock of the file behind a video; `None` where nobody knows when that ended."""
    if row is None or row.end_at is None:
        return None
    return replace(start, at=row.end_at)


def _clock_notes(item: IngestItem) -> list[str]:
    """Return what has to be said of the clock of a file behind the first of several."""
    if item.start_at is None:
        return [
            "no wall clock: the file before it was not read to its end; "
            f"`longwatch videos set {shlex.quote(item.name)} --start-at` gives it one"
        ]
    if item.start_source in OWN_CLOCKS:
        origin = "file name" if item.start_source == "file_name" else "recorder"
        return [f"keeps its own clock ({origin}): it begins at {clock_text(item.start_at)}"]
    return []


def _describe(context: ServiceContext, row: VideoRow, name: str | None) -> IngestItem:
    item = describe_ingest(context, row)
    if name is not None and row.name != name.strip():
        item.warnings.append(f"it is in the library as {row.name!r}, not {name!r}")
    return item


def _read_now(
    context: ServiceContext,
    video: VideoRow,
    report: ProgressCallback,
    stopping: threading.Event | None,
) -> VideoRow:
    if video.status == "ready" and video.fingerprint == context.engine.fingerprint:
        return video
    run_now(context, enqueue_ingest(context, video), video.name, report, stopping=stopping)
    return context.catalog.videos.get(video.id)


@contextmanager
def _observed_beside(context: ServiceContext, video: VideoRow) -> Iterator[None]:
    """Observe while a camera is read; of a file that comes behind its reading."""
    if not is_live_uri(video.uri):
        yield
        return
    worker = open_observing_worker(context)
    thread = threading.Thread(target=worker.run, name="observing")
    thread.start()
    try:
        yield
    finally:
        # What it was at is handed back, and goes on wherever the next worker is.
        worker.stop()
        thread.join()


def _observe_now(
    context: ServiceContext,
    video: VideoRow,
    report: ProgressCallback,
    stopping: threading.Event | None,
) -> None:
    """Finish the observing of a video that was read; nothing happens where it is whole."""
    if video.status != "ready":
        return
    if not context.catalog.jobs.list("queued", "running", video=video.id) and is_observed(
        context, video
    ):
        return
    job = enqueue_observe(context, video)
    if job is not None:
        run_now(context, job, video.name, report, stopping=stopping)


@contextmanager
def _stopped_by_interrupt(worker: Worker) -> Iterator[None]:
    """Stop a worker by its flag at the first Ctrl-C, and at once at the second.

    A KeyboardInterrupt that is raised where Python ignores exceptions, as in a destructor, is lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread is interrupted.
        return
    received = threading.Event()

    def stop(number: int, frame: object) -> None:
        received.set()
        worker.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received.is_set():
        raise KeyboardInterrupt
