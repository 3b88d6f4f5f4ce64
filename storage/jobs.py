"""Jobs as rows with leases: whoever claims one beats, and whoever stops beating loses it.

queued --claim--> running --finish--> done | cancelled
  ^                 |----fail------> failed, or queued again for later
  |----release------|----lease expires: the next claim takes it over
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal, cast

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
from storage.database import Database
from storage.records import Failure, HeartbeatReply, JobId, JobProgress, JobRow, JobState, Json
from storage.tables import JobTable

MAX_ATTEMPTS = 5
"""Starts without getting further before a job counts as the reason that workers die."""


class Jobs:
    """The queue. A worker shows the `JobRow` of its claim whenever it speaks of the job."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        kind: str,
        payload: Json,
        *,
        video: VideoId | None = None,
        stream: str | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> JobRow:
        """Ask for work.

        Args:
            kind: Names the handler.
            payload: What it needs, as JSON.
            video: The video it belongs to, and leaves with.
            stream: Jobs of one stream run one at a time, in this order.
        """
        now = self._now()
        with self._database.writing() as session:
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
            return _job(row)

    def get(self, job: JobId) -> JobRow:
        """The job of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _job(_row(session, job))

    def listed(
        self, *states: JobState, video: VideoId | None = None, limit: int | None = None
    ) -> tuple[JobRow, ...]:
        """Jobs, newest first: all, or those in one of `states`, or those of a video."""
        query = select(JobTable).order_by(JobTable.id.desc()).limit(limit)
        if states:
            query = query.where(JobTable.state.in_(states))
        if video is not None:
            query = query.where(JobTable.video_id == video)
        with self._database.reading() as session:
            return tuple(_job(row) for row in session.scalars(query))

    def claim(
        self, owner: str, kinds: Collection[str], *, lease_s: float, job: JobId | None = None
    ) -> JobRow | None:
        """Take the oldest job that may run now, or one whose worker stopped beating.

        Of any number of workers that ask at once, each job goes to one.

        Args:
            owner: Names the worker in the row; need not be unique.
            kinds: What the worker can do.
            lease_s: How long the job is its own without a heartbeat.
            job: Only this one, at once and as if it had never been tried: someone asks by hand.
        """
        try:
            return self._claim(owner, kinds, lease_s, job)
        except IntegrityError:
            # Another worker began a job of the same stream meanwhile: there will be a next time.
            return None

    def _claim(
        self, owner: str, kinds: Collection[str], lease_s: float, job: JobId | None
    ) -> JobRow | None:
        now = self._now()
        with self._database.writing() as session:
            if job is not None:
                by_hand = (JobTable.id == job, JobTable.state.in_(["queued", "running"]))
                session.execute(update(JobTable).where(*by_hand).values(attempts=0, run_at=now))
            self._give_up(session, now)
            row = session.scalar(_claimable(kinds, now, job))
            if row is None:
                return None
            row.state = "running"
            row.lease = f"{owner}#{secrets.token_hex(4)}"
            row.lease_until = now + timedelta(seconds=lease_s)
            row.heartbeat_at = now
            row.started_at = row.started_at or now
            row.attempts += 1
            session.flush()
            return _job(row)

    def heartbeat(self, job: JobRow, *, lease_s: float) -> HeartbeatReply:
        """Keep the lease for `lease_s` more, and hear what the user wants."""
        now = self._now()
        with self._database.writing() as session:
            held = self._held(
                session, job, lease_until=now + timedelta(seconds=lease_s), heartbeat_at=now
            )
            if not held:
                return "lost"
            return "cancel" if _row(session, job.id).cancel_requested else "go_on"

    def report(self, job: JobRow, progress: JobProgress) -> HeartbeatReply:
        """Say how far it is, and hear the same as by a heartbeat.

        A job that gets further may fail afresh: its attempts are counted from there.
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
            return "cancel" if row.cancel_requested else "go_on"

    def finish(self, job: JobRow, state: Literal["done", "cancelled"] = "done") -> bool:
        """The work is over.

        Returns:
            Whether the lease was still held; a worker that lost it changes nothing.
        """
        return self._let_go(job, state=state, ended_at=self._now(), failure=None)

    def fail(self, job: JobRow, failure: Failure, *, retry_in_s: float | None = None) -> bool:
        """The work went wrong: for good, or to be tried again after `retry_in_s`."""
        if retry_in_s is None:
            return self._let_go(job, state="failed", ended_at=self._now(), failure=asdict(failure))
        run_at = self._now() + timedelta(seconds=retry_in_s)
        return self._let_go(job, state="queued", run_at=run_at, failure=asdict(failure))

    def release(self, job: JobRow) -> bool:
        """Hand it back unharmed: this worker stops, the start does not count."""
        return self._let_go(job, state="queued", attempts=JobTable.attempts - 1)

    def abandon(self, job: JobRow) -> bool:
        """Say that its worker is known to be dead: the next claim need not wait for the lease."""
        with self._database.writing() as session:
            return self._held(session, job, lease_until=self._now() - timedelta(seconds=1))

    def cancel(self, job: JobId) -> JobRow:
        """Stop a job: at once if nobody runs it, else as soon as its worker hears of it."""
        with self._database.writing() as session:
            row = _row(session, job, lock=True)
            if row.state in {"queued", "running"}:
                row.cancel_requested = True
            if row.state == "queued" or (row.state == "running" and _expired(row, self._now())):
                row.state, row.ended_at = "cancelled", self._now()
                row.lease = row.lease_until = None
            return _job(row)

    def retry(self, job: JobId) -> JobRow:
        """Queue a job that ended once more, as if it had never been tried."""
        with self._database.writing() as session:
            row = _row(session, job, lock=True)
            if row.state in {"failed", "cancelled"}:
                row.state, row.run_at = "queued", self._now()
                row.attempts, row.cancel_requested = 0, False
                row.failure, row.ended_at = None, None
                row.progress_done, row.progress_total, row.progress_note = 0.0, None, ""
            return _job(row)

    def _held(self, session: Session, job: JobRow, **values: Any) -> bool:
        """Change the row if this claim still holds it; a lost claim changes nothing."""
        mine = and_(JobTable.id == job.id, JobTable.state == "running", JobTable.lease == job.lease)
        result = session.execute(update(JobTable).where(mine).values(**values))
        return cast(CursorResult[Any], result).rowcount == 1

    def _let_go(self, job: JobRow, **values: Any) -> bool:
        with self._database.writing() as session:
            return self._held(session, job, lease=None, lease_until=None, **values)

    def _give_up(self, session: Session, now: datetime) -> None:
        """Fail jobs whose workers died each time, so that they do not kill another."""
        failure = Failure(
            code="worker_died",
            message="its worker died again and again at the same place",
            hint="look at the log of the worker, then retry the job",
        )
        session.execute(
            update(JobTable)
            .where(_abandoned(now), JobTable.attempts >= JobTable.max_attempts)
            .values(
                state="failed", ended_at=now, lease=None, lease_until=None, failure=asdict(failure)
            )
        )
        session.execute(
            update(JobTable)
            .where(or_(JobTable.state == "queued", _abandoned(now)), JobTable.cancel_requested)
            .values(state="cancelled", ended_at=now, lease=None, lease_until=None)
        )


def _abandoned(now: datetime) -> ColumnElement[bool]:
    return and_(JobTable.state == "running", JobTable.lease_until < now)


def _claimable(kinds: Collection[str], now: datetime, job: JobId | None) -> Select[JobTable]:
    """The oldest job that may run; of a stream only its first unfinished one, and only alone."""
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
        .where(wanted, JobTable.kind.in_(kinds), or_(due, _abandoned(now)), ~stream_is_taken)
        .order_by(JobTable.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _expired(row: JobTable, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until < now


def _row(session: Session, job: JobId, *, lock: bool = False) -> JobTable:
    row = session.get(JobTable, job, with_for_update=lock or None)
    if row is None:
        raise NotFoundError(f"no job {job}", hint="it may have left with its video")
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
