"""An archive read, and made again, here or on a cluster: every piece is a job of the library."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from app.errors import ReportedError
from app.progress import ProgressCallback, no_progress
from app.schemas.errors import describe_error
from app.schemas.reprocess import ReprocessResponse
from app.schemas.videos import IngestResponse
from app.services.context import ServiceContext
from app.services.ingest import add_source, describe_ingest
from app.services.ingest_jobs import KIND as INGEST
from app.services.ingest_jobs import enqueue_ingest
from app.services.job_kinds import OBSERVE
from app.services.jobs import describe_job
from app.services.library import finish_removals
from app.services.observe import enqueue_observe, is_observed
from app.services.reprocess import (
    ReprocessOrder,
    check_order,
    choose_videos,
    enqueue_reprocess,
)
from app.services.sources import describe_skipped, expand
from app.services.wall_clock import user_clock
from app.worker.fleet import Fleet, FollowUp, open_fleet
from app.worker.foreground import run_now
from app.worker.ray_cluster import open_cluster
from engine.errors import InputRefusedError, LongwatchError, NotFoundError
from engine.media.address import is_live_uri, redact
from engine.records import Fingerprint, VideoId
from storage.records import JobRow, VideoRow


class Runner(Protocol):
    """Whoever does jobs: this process, or a cluster."""

    def fingerprint(self) -> Fingerprint:
        """Return the pipeline that reads there."""

    def run(self, jobs: Sequence[JobRow], report: ProgressCallback) -> list[JobRow]:
        """Do jobs, and those that follow on them; return how each ended."""


@contextmanager
def open_runner(
    context: ServiceContext, on: str | None, *, observes: bool = True
) -> Iterator[Runner]:
    """Return what does the jobs of a library.

    Args:
        on: The address of a cluster; this process when `None`.
        observes: Whether the observing of what was read is done too; else it is left to a worker.
    Raises:
        LongwatchError: As `open_cluster`.
    """
    context.catalog.check_writable()
    if on is None:
        yield _Here(context, observes)
        return
    with (
        open_cluster(on, cpus=context.settings.workers.ray_cpus) as cluster,
        open_fleet(context, cluster) as fleet,
    ):
        yield _There(context, fleet, observes)


def ingest_on(
    context: ServiceContext,
    on: str,
    sources: Sequence[str],
    *,
    name: str | None = None,
    start_at: datetime | None = None,
    timezone: str | None = None,
    video_track: int | None = None,
    observes: bool = True,
    report: ProgressCallback = no_progress,
) -> IngestResponse:
    """Ingest files on a cluster, several at a time; what was done before is not done again.

    Of several files, one that fails does not stop the others: the document names it.

    Raises:
        InputRefusedError: A camera is among them.
        LongwatchError: The only file cannot be read, or no node can be used.
    """
    finish_removals(context)
    _check_files(sources)
    clock = None if start_at is None else user_clock(context.settings, start_at, timezone)
    rows: dict[VideoId, VideoRow] = {}
    copies: list[str] = []
    failures: list[LongwatchError] = []
    files = [*expand([*sources])]
    for file in files:
        try:
            row = add_source(
                context,
                file,
                name=name,
                clock=clock,
                settled=rows,
                timezone=timezone,
                video_track=video_track,
            )
        except LongwatchError as error:
            failures.append(error)
            continue
        if row.id in rows:
            copies.append(f"{file} holds the same as {row.name}, which is read once")
        rows[row.id] = row
    if failures and len(files) == 1:
        raise failures[0]
    with open_runner(context, on, observes=observes) as runner:
        fingerprint = runner.fingerprint()
        jobs = [_next_job(context, row, fingerprint, observes) for row in rows.values()]
        ended = runner.run([job for job in jobs if job is not None], report)
    failures += _failures(ended)
    if failures and len(files) == 1:
        raise failures[0]
    return IngestResponse(
        videos=[
            describe_ingest(context, row)
            for row in map(context.catalog.videos.get, rows)
            if row.status != "failed"
        ],
        failures=[describe_error(error).error for error in failures],
        skipped=[*filter(None, map(describe_skipped, sources)), *copies],
    )


def reprocess(
    context: ServiceContext,
    order: ReprocessOrder,
    videos: Sequence[str] = (),
    *,
    tags: Sequence[str] = (),
    cameras: Sequence[str] = (),
    on: str | None = None,
    report: ProgressCallback = no_progress,
) -> ReprocessResponse:
    """Make again what another model, encoder or observer would make otherwise.

    Args:
        videos: As `find_video` takes them; all of the library when these and `cameras` are empty.
        on: The address of a cluster; this process when `None`.
    Raises:
        NotFoundError: No such video, camera or observer.
    """
    started = time.monotonic()
    check_order(order)
    rows = choose_videos(context, videos, tags=tags, cameras=cameras)
    jobs: list[JobRow] = []
    skipped: list[str] = []
    with open_runner(context, on) as runner:
        fingerprint = runner.fingerprint()
        for row in rows:
            job, why = enqueue_reprocess(context, row, order, fingerprint)
            jobs += [] if job is None else [job]
            skipped += [] if why is None else [why]
        ended = runner.run(jobs, report)
    return ReprocessResponse(
        videos=len(rows),
        jobs=[describe_job(context, job) for job in ended],
        failures=[describe_error(error).error for error in _failures(ended)],
        skipped=skipped,
        wall_s=time.monotonic() - started,
    )


class _Here:
    """This process: one job after the other."""

    def __init__(self, context: ServiceContext, observes: bool) -> None:
        self._context = context
        self._follow_up = _follow_up(context, observes)

    def fingerprint(self) -> Fingerprint:
        return self._context.engine.fingerprint

    def run(self, jobs: Sequence[JobRow], report: ProgressCallback) -> list[JobRow]:
        left, ended = [*jobs], list[JobRow]()
        while left:
            job = left.pop(0)
            try:
                run_now(self._context, job, _name(self._context, job), report)
            except ReportedError:
                pass  # It failed elsewhere: its row says why.
            except LongwatchError:
                if self._context.catalog.jobs.get(job.id).failure is None:
                    raise
            row = self._context.catalog.jobs.get(job.id)
            ended.append(row)
            left += self._follow_up(row)
        return ended


class _There:
    """A cluster: as many jobs at a time as it has readers."""

    def __init__(self, context: ServiceContext, fleet: Fleet, observes: bool) -> None:
        self._context = context
        self._fleet = fleet
        self._follow_up = _follow_up(context, observes)

    def fingerprint(self) -> Fingerprint:
        return self._fleet.fingerprint()

    def run(self, jobs: Sequence[JobRow], report: ProgressCallback) -> list[JobRow]:
        return self._fleet.run(
            jobs,
            names=lambda job: _name(self._context, job),
            report=report,
            follow_up=self._follow_up,
        )


def _follow_up(context: ServiceContext, observes: bool) -> FollowUp:
    """Return what finds the observing that the reading of a video has queued."""

    def following(job: JobRow) -> Sequence[JobRow]:
        if not observes or job.kind != INGEST or job.video is None or job.state != "done":
            return ()
        queued = context.catalog.jobs.list("queued", "running", video=job.video)
        return [behind for behind in queued if behind.kind == OBSERVE]

    return following


def _next_job(
    context: ServiceContext, row: VideoRow, fingerprint: Fingerprint, observes: bool
) -> JobRow | None:
    """Queue what a file needs first; `None` where nothing is left to do of it."""
    if row.status != "ready" or row.fingerprint != fingerprint:
        return enqueue_ingest(context, row)
    if not observes or is_observed(context, row):
        return None
    return enqueue_observe(context, row)


def _check_files(sources: Sequence[str]) -> None:
    for source in sources:
        if is_live_uri(source):
            raise InputRefusedError(
                f"{redact(source)}: a live source is read by one worker for as long as it runs",
                hint="`longwatch cameras add` has it filmed by a server or worker of the library",
            )


def _failures(ended: Sequence[JobRow]) -> list[LongwatchError]:
    return [
        ReportedError(job.failure.code, job.failure.message, hint=job.failure.hint)
        for job in ended
        if job.state == "failed" and job.failure is not None
    ]


def _name(context: ServiceContext, job: JobRow) -> str:
    try:
        return job.kind if job.video is None else context.catalog.videos.get(job.video).name
    except NotFoundError:
        return job.kind
