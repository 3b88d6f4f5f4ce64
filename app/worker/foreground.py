"""Long use cases here and now, for somebody who waits: still as jobs.

A job, so that a worker elsewhere does not read the same video too; one that it reads already is
watched instead.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.captions import CaptionRunResponse
from app.schemas.errors import describe_error
from app.schemas.videos import IngestItem, IngestResponse
from app.services.access import find_video
from app.services.captions import describe_run, enqueue_captions
from app.services.context import ServiceContext
from app.services.ingest import add_source, describe_ingest, enqueue_ingest
from app.services.library import finish_removals
from app.services.sources import describe_skipped, expand
from app.worker.handlers import open_worker
from app.worker.worker import Worker
from engine.errors import InputRefusedError, LongwatchError
from storage.records import JobProgress, JobRow, VideoRow

WATCH_EVERY_S = 5.0
"""Pause between two looks at watched sources."""


def run_now(
    context: ServiceContext, job: JobRow, what: str, report: ProgressCallback = no_progress
) -> JobRow:
    """Do a job in this process, or watch the worker that has it, until it ends.

    Args:
        what: The name of the work in its progress.
    Raises:
        LongwatchError: The job failed.
        KeyboardInterrupt: Ctrl-C; what is done is kept, and the job is handed back.
    """

    def watch(progress: JobProgress) -> None:
        report(
            ProgressUpdate(what=what, done=progress.done, total=progress.total, note=progress.note)
        )

    worker = open_worker(context)
    with _stopped_by_interrupt(worker):
        row = worker.run_job(job.id, watch=watch)
    if row.failure is not None:
        raise InputRefusedError(row.failure.message, hint=row.failure.hint)
    return row


def ingest_now(
    context: ServiceContext,
    sources: Sequence[str],
    *,
    name: str | None = None,
    start_at: datetime | None = None,
    report: ProgressCallback = no_progress,
) -> IngestResponse:
    """Read sources to their end; what was read before is not read again.

    Of several sources, one that fails does not stop the others: the document names it.
    """
    finish_removals(context)
    rows, failures = [], []
    files: list[str] = []
    for source in sources:
        try:
            files += expand([source])
        except LongwatchError as error:
            failures.append(error)
    n_given = len(files) + len(failures)
    for file in files:
        try:
            video = add_source(context, file, name=name, start_at=start_at)
            rows.append(_read_now(context, video, report))
        except LongwatchError as error:
            failures.append(error)
    if failures and n_given == 1:
        raise failures[0]
    return IngestResponse(
        videos=[_describe(row, name) for row in rows],
        failures=[describe_error(error).error for error in failures],
        skipped=[line for line in map(describe_skipped, sources) if line is not None],
    )


def watch_sources(
    context: ServiceContext,
    sources: Sequence[str],
    *,
    name: str | None = None,
    start_at: datetime | None = None,
    report: ProgressCallback = no_progress,
) -> IngestResponse:
    """Ingest again and again until Ctrl-C: new files of a folder, cameras that return.

    What was read before is known by its content and costs a look, nothing more.
    """
    document = IngestResponse(videos=[])
    try:
        while True:
            document = ingest_now(context, sources, name=name, start_at=start_at, report=report)
            time.sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        return document


def caption_now(
    context: ServiceContext, name: str, report: ProgressCallback = no_progress
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
    job = run_now(context, enqueue_captions(context, video), video.name, report)
    return describe_run(context, video, job, n_before=n_before, wall_s=time.monotonic() - started)


def _describe(row: VideoRow, name: str | None) -> IngestItem:
    item = describe_ingest(row)
    if name is not None and row.name != name.strip():
        item.warnings.append(f"it is in the library as {row.name!r}, not {name!r}")
    return item


def _read_now(context: ServiceContext, video: VideoRow, report: ProgressCallback) -> VideoRow:
    if video.status == "ready" and video.fingerprint == context.engine.fingerprint:
        return video
    run_now(context, enqueue_ingest(context, video), video.name, report)
    return context.catalog.videos.get(video.id)


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
