"""The job queue: rows with leases, kept alive by heartbeats.

queued --claim--> running --finish--> done | cancelled
  ^                 |----fail------> failed, or queued again for later
  |----release------|----lease expires: the next claim takes it over

A worker passes the `JobRow` of its claim to every later call about the job. Every change is told to
those who hear the topic of jobs (`storage/notifications.py`), so that nobody need ask all the time.
"""

import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    and_,
    exists,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from engine.errors import NotFoundError
from engine.records import VideoId
from storage.clocks import LeaseClock
from storage.database import Database
from storage.fence import check_held
from storage.notifications import Notifications
from storage.records import Failure, HeartbeatReply, JobId, JobProgress, JobRow, JobState, Json
from storage.tables import JobTable

JOBS: Final = "jobs"
"""The topic of `storage/notifications.py` under which changes of jobs are told."""

JobChange = Literal["queued", "started", "moved", "cancel", "ended"]
"""One that may run now; one that runs; its progress; one that has to stop; one that is over."""
HearOfJob = Callable[[JobChange | None, JobId | None], None]
"""Takes a change and the job, `None` for several; no change at all where some were missed."""

MAX_ATTEMPTS = 5
"""Starts without progress after which the job itself is taken for what kills its workers."""


class Jobs:
    """The job queue of one database."""

    def __init__(self, database: Database, clock: LeaseClock, notifications: Notifications) -> None:
        self._database = database
        self._clock = clock
        self._notifications = notifications

    @property
    def is_told(self) -> bool:
        """Whether changes that other processes make are heard of now; else they are looked for."""
        return self._notifications.is_live

    @contextmanager
    def hearing(self, hear: HearOfJob) -> Iterator[None]:
        """Call `hear` for every change of a job, by any process, while the body runs."""

        def split(payload: str | None) -> None:
            change, _, job = (payload or "").partition(" ")
            hear(
                None if payload is None else cast(JobChange, change),
                JobId(int(job)) if job else None,
            )

        with self._notifications.hearing(JOBS, split):
            yield

    def is_silent(self, job: JobRow) -> bool:
        """Tell whether the worker that has a job has lost it by silence."""
        if job.state != "running" or job.lease_until is None:
            return False
        with self._database.reading() as session:
            return job.lease_until < self._clock(session)

    def add(
        self,
        kind: str,
        payload: Json,
        *,
        video: VideoId | None = None,
        stream: str | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> JobRow:
        """Add a job.

        Args:
            kind: Names the handler.
            payload: Arguments of the handler, as JSON.
            video: The video it belongs to; deleted with it.
            stream: Jobs of one stream run one at a time, in the order they were added.
            max_attempts: Starts without progress before it fails for good.
        """
        with self._database.writing() as session:
            now = self._clock(session)
            row = JobTable(
                kind=kind,
                payload=dict(payload),
                video_id=video,
                stream=stream,
                state="queued",
                run_at=now,
                max_attempts=max_attempts,
                created_at=now,
            )
            session.add(row)
            session.flush()
            self._tell(session, "queued", row.id)
            return _job(row)

    def get(self, job: JobId) -> JobRow:
        """Return the job of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _job(_row(session, job))

    def list(
        self, *states: JobState, video: VideoId | None = None, limit: int | None = None
    ) -> tuple[JobRow, ...]:
        """Return jobs, newest first: all, or those in one of `states`, or those of a video."""
        query = select(JobTable).order_by(JobTable.id.desc()).limit(limit)
        if states:
            query = query.where(JobTable.state.in_(states))
        if video is not None:
            query = query.where(JobTable.video_id == video)
        with self._database.reading() as session:
            return tuple(_job(row) for row in session.scalars(query))

    def claim(
        self,
        owner: str,
        kinds: Collection[str],
        *,
        lease_s: float,
        job: JobId | None = None,
        anew: bool = True,
    ) -> JobRow | None:
        """Claim the oldest job that may run now, or one whose lease expired.

        Of any number of workers that claim at once, each job goes to one.

        Args:
            owner: Names the worker in the row; need not be unique.
            kinds: Kinds of jobs that the worker has handlers for.
            lease_s: How long the claim holds without a heartbeat.
            job: Only this job.
            anew: Whether that is claimed at once and as if it had never been tried, because a user
                started it.
        """
        try:
            return self._claim(owner, kinds, lease_s, job, anew)
        except IntegrityError:
            # Another worker started a job of the same stream meanwhile: try again later.
            return None

    def _claim(
        self, owner: str, kinds: Collection[str], lease_s: float, job: JobId | None, anew: bool
    ) -> JobRow | None:
        with self._database.writing() as session:
            now = self._clock(session)
            if job is not None and anew:
                is_open = (JobTable.id == job, JobTable.state.in_(["queued", "running"]))
                session.execute(update(JobTable).where(*is_open).values(attempts=0, run_at=now))
            if _close_hopeless(session, now):
                self._tell(session, "ended")
            row = session.scalar(_claimable(kinds, now, job))
            if row is None:
                return None
            row.state = "running"
            # Two claims of one worker differ: a stale thread must not end a job of another slot.
            row.lease = f"{owner}#{secrets.token_hex(4)}"
            row.lease_until = now + timedelta(seconds=lease_s)
            row.heartbeat_at = now
            row.started_at = row.started_at or now
            row.attempts += 1
            session.flush()
            self._tell(session, "started", row.id)
            return _job(row)

    def heartbeat(self, job: JobRow, *, lease_s: float) -> HeartbeatReply:
        """Extend the lease to `lease_s` from now; tells whether the job was cancelled or lost."""
        with self._database.writing() as session:
            now = self._clock(session)
            lease_until = now + timedelta(seconds=lease_s)
            if not _update_claimed(session, job, lease_until=lease_until, heartbeat_at=now):
                return "lost"
            return "cancel" if _row(session, job.id).cancel_requested else "go_on"

    def report(self, job: JobRow, progress: JobProgress) -> HeartbeatReply:
        """Record the progress of a job; returns what a heartbeat returns.

        Progress resets the count of attempts, so a job that advances never fails by it.
        """
        with self._database.writing() as session:
            row = session.get(JobTable, job.id, with_for_update=True)
            if row is None or row.state != "running" or row.lease != job.lease:
                return "lost"
            if progress.done > row.progress_done:
                row.attempts = 1
            row.progress_done = progress.done
            row.progress_total = progress.total
            row.progress_note = progress.note
            self._tell(session, "moved", row.id)
            return "cancel" if row.cancel_requested else "go_on"

    def check_held(self, job: JobRow | None) -> None:
        """Refuse what only the holder of a job may do; `None` is nobody's.

        Raises:
            LeaseLostError: Another worker has it, or it was ended or deleted.
        """
        with self._database.reading() as session:
            check_held(session, job)

    def finish(self, job: JobRow, state: Literal["done", "cancelled"] = "done") -> bool:
        """Mark a job as done or cancelled.

        Returns:
            Whether the lease was still held; a worker that lost it changes nothing.
        """
        return self._end_claim(job, "ended", lambda now: {"state": state, "ended_at": now})

    def fail(self, job: JobRow, failure: Failure, *, retry_in_s: float | None = None) -> bool:
        """Mark a job as failed, or queue it again after a delay; returns what `finish` returns."""
        kept = asdict(failure)
        if retry_in_s is None:
            return self._end_claim(
                job, "ended", lambda now: {"state": "failed", "ended_at": now, "failure": kept}
            )
        delay = timedelta(seconds=retry_in_s)
        return self._end_claim(
            job, "queued", lambda now: {"state": "queued", "run_at": now + delay, "failure": kept}
        )

    def release(self, job: JobRow) -> bool:
        """Put a job back into the queue because the worker stops; the attempt does not count."""
        values = {"state": "queued", "attempts": JobTable.attempts - 1}
        return self._end_claim(job, "queued", lambda _: values)

    def abandon(self, job: JobRow) -> bool:
        """Mark the worker of a job as dead: the next claim need not wait for its lease."""
        with self._database.writing() as session:
            lease_until = self._clock(session) - timedelta(seconds=1)
            was_held = _update_claimed(session, job, lease_until=lease_until)
            if was_held:
                self._tell(session, "queued", job.id)
            return was_held

    def cancel(self, job: JobId) -> JobRow:
        """Cancel a job: at once if nobody runs it, else at the next heartbeat of its worker."""
        with self._database.writing() as session:
            row, now = _row(session, job, lock=True), self._clock(session)
            if row.state in {"queued", "running"}:
                row.cancel_requested = True
                self._tell(session, "cancel", row.id)
            if row.state == "queued" or (row.state == "running" and _expired(row, now)):
                row.state, row.ended_at = "cancelled", now
                row.lease = row.lease_until = None
                self._tell(session, "ended", row.id)
            return _job(row)

    def retry(self, job: JobId) -> JobRow:
        """Queue a failed or cancelled job again, as if it had never been tried."""
        with self._database.writing() as session:
            row = _row(session, job, lock=True)
            if row.state in {"failed", "cancelled"}:
                row.state, row.run_at = "queued", self._clock(session)
                row.attempts, row.cancel_requested = 0, False
                row.failure, row.ended_at = None, None
                row.progress_done, row.progress_total, row.progress_note = 0.0, None, ""
                self._tell(session, "queued", row.id)
            return _job(row)

    def _end_claim(
        self, job: JobRow, change: JobChange, values: Callable[[datetime], dict[str, Any]]
    ) -> bool:
        """Change the row to what `values` says of the time, and tell it, if the claim holds."""
        with self._database.writing() as session:
            changes = {"lease": None, "lease_until": None, **values(self._clock(session))}
            was_held = _update_claimed(session, job, **changes)
            if was_held:
                self._tell(session, change, job.id)
            return was_held

    def _tell(self, session: Session, change: JobChange, job: int | None = None) -> None:
        self._notifications.publish_with(
            session, JOBS, change if job is None else f"{change} {job}"
        )


def _update_claimed(session: Session, job: JobRow, **values: Any) -> bool:
    """Change the row if this claim still holds it; a lost claim changes nothing."""
    is_held = and_(JobTable.id == job.id, JobTable.state == "running", JobTable.lease == job.lease)
    result = session.execute(update(JobTable).where(is_held).values(**values))
    return cast(CursorResult[Any], result).rowcount == 1


def _close_hopeless(session: Session, now: datetime) -> bool:
    """Fail jobs whose workers died each time, and cancel those whose worker died before it did.

    Returns:
        Whether there were any.
    """
    failure = Failure(
        code="worker_died",
        message="its worker died repeatedly without getting any further",
        hint="look at the log of the worker, then retry the job",
    )
    failed = session.execute(
        update(JobTable)
        .where(_lease_expired(now), JobTable.attempts >= JobTable.max_attempts)
        .values(state="failed", ended_at=now, lease=None, lease_until=None, failure=asdict(failure))
    )
    cancelled = session.execute(
        update(JobTable)
        .where(or_(JobTable.state == "queued", _lease_expired(now)), JobTable.cancel_requested)
        .values(state="cancelled", ended_at=now, lease=None, lease_until=None)
    )
    return any(cast(CursorResult[Any], ended).rowcount for ended in (failed, cancelled))


def _lease_expired(now: datetime) -> ColumnElement[bool]:
    return and_(JobTable.state == "running", JobTable.lease_until < now)


def _claimable(kinds: Collection[str], now: datetime, job: JobId | None) -> Select[JobTable]:
    """Return the query for the oldest job that may run now.

    Of a stream that is the first unfinished job, and only while no other of it runs: a job that
    waits for its retry keeps those behind it waiting.
    """
    other = aliased(JobTable)
    stream_is_taken = exists().where(
        other.stream == JobTable.stream,
        other.id != JobTable.id,
        or_(other.state == "running", and_(other.state == "queued", other.id < JobTable.id)),
    )
    due = and_(JobTable.state == "queued", JobTable.run_at <= now)
    wanted = true() if job is None else JobTable.id == job
    return (
        select(JobTable)
        .where(wanted, JobTable.kind.in_(kinds), or_(due, _lease_expired(now)), ~stream_is_taken)
        .order_by(JobTable.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _expired(row: JobTable, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until < now


def _row(session: Session, job: JobId, *, lock: bool = False) -> JobTable:
    row = session.get(JobTable, job, with_for_update=lock or None)
    if row is None:
        raise NotFoundError(f"no job {job}", hint="it may have been deleted with its video")
    return row


def _job(row: JobTable) -> JobRow:
    return JobRow(
        id=JobId(row.id),
        kind=row.kind,
        payload=row.payload,
        video=None if row.video_id is None else VideoId(row.video_id),
        stream=row.stream,
        state=cast(JobState, row.state),
        lease=row.lease,
        lease_until=row.lease_until,
        heartbeat_at=row.heartbeat_at,
        run_at=row.run_at,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        progress=JobProgress(
            done=row.progress_done, total=row.progress_total, note=row.progress_note
        ),
        cancel_requested=row.cancel_requested,
        failure=None if row.failure is None else Failure(**row.failure),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
