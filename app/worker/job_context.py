"""The line between a handler and its job: progress out, bad news in, the end written down."""

import logging
import threading
import time
from collections.abc import Callable

from app.errors import hint_for
from app.worker.retries import RetryPolicy, may_pass
from engine.errors import LeaseLostError, LongwatchError, UnreachableError
from storage.jobs import Jobs
from storage.records import Failure, HeartbeatReply, JobProgress, JobRow

PROGRESS_EVERY_S = 0.5
"""Progress is written no more often: chunks may pass faster than anyone reads."""

_log = logging.getLogger(__name__)

Watch = Callable[[JobProgress], None]


def no_watch(progress: JobProgress) -> None:
    """Ignore progress: the row keeps it."""


class JobContext:
    """The line between a running handler and its job; may be used from any thread."""

    def __init__(
        self,
        jobs: Jobs,
        job: JobRow,
        *,
        stopping: threading.Event,
        lease_s: float,
        watch: Watch,
    ) -> None:
        self._jobs = jobs
        self._watch = watch
        self._job = job
        self._stopping = stopping
        self._lease_s = lease_s
        self._cancelled = threading.Event()
        self._lost = threading.Event()
        self._handed_back = threading.Event()
        self._stop_observed = False
        self._unwritten: JobProgress | None = None
        self._last = job.progress
        self._written_at = float("-inf")
        self._started = time.monotonic()
        self._held_until = self._started + lease_s

    @property
    def job(self) -> JobRow:
        """The job as it was claimed."""
        return self._job

    def hand_back(self) -> None:
        """Have this job stop and go back into the queue, whatever else the worker does."""
        self._handed_back.set()

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report how far the work is; cheap however often it is called."""
        self._unwritten = self._last = JobProgress(done=done, total=total, note=note)
        self._watch(self._unwritten)
        if time.monotonic() - self._written_at >= PROGRESS_EVERY_S:
            self.write_progress()

    def is_cancelled(self) -> bool:
        """Tell whether the user cancelled the job: end it and leave things tidy."""
        self._stop_observed = self._stop_observed or self._cancelled.is_set()
        return self._cancelled.is_set()

    def should_stop(self) -> bool:
        """Tell whether to return soon, for any reason.

        The user cancelled, or the worker stops and will hand the job to another, or another has
        it already or may have, because this process was silent for too long. What is committed
        stays; the next worker goes on from there.
        """
        events = (self._cancelled, self._stopping, self._lost, self._handed_back)
        stop = any(event.is_set() for event in events) or time.monotonic() > self._held_until
        self._stop_observed = self._stop_observed or stop
        return stop

    def heartbeat(self) -> None:
        """Keep the lease and hear the news; the worker does this, a handler need not."""
        # Before the call: the row's own lease begins while it is under way.
        asked_at = time.monotonic()
        try:
            pulse = self._jobs.heartbeat(self._job, lease_s=self._lease_s)
        except UnreachableError as error:
            # A database that is away for a moment takes nobody's job, the lease does.
            _log.warning("job %d: no heartbeat: %s", self._job.id, error)
            return
        self._held_until = asked_at + self._lease_s
        self._apply(pulse)

    def write_progress(self) -> None:
        """Write down the last progress, if it is not yet."""
        progress, self._unwritten = self._unwritten, None
        if progress is None:
            return
        self._written_at = time.monotonic()
        try:
            self._apply(self._jobs.report(self._job, progress))
        except UnreachableError as error:
            _log.warning("job %d: progress not written: %s", self._job.id, error)

    def settle(self, error: Exception | None, retry: RetryPolicy | None) -> None:
        """Write down how the handler came back."""
        self.write_progress()
        if self._lost.is_set() or isinstance(error, LeaseLostError):
            self._log_end("taken over by another worker", level=logging.WARNING)
        elif self._stop_observed and self._cancelled.is_set():
            self._jobs.finish(self._job, "cancelled")
            self._log_end("cancelled")
        elif error is not None:
            self._settle_failure(error, retry)
        elif self._stop_observed:
            self._jobs.release(self._job)
            self._log_end("handed back: this worker stops")
        else:
            self._jobs.finish(self._job)
            self._log_end("done")

    def _settle_failure(self, error: Exception, retry: RetryPolicy | None) -> None:
        failure, retry_in_s = _failure(error), self._retry_in_s(error, retry)
        self._jobs.fail(self._job, failure, retry_in_s=retry_in_s)
        outlook = "" if retry_in_s is None else f"; tried again in {retry_in_s:.0f} s"
        # Who raised on purpose said all there is to say; a bug is nothing without its traceback.
        is_bug = not isinstance(error, LongwatchError)
        self._log_end(
            f"failed ({failure.code}: {failure.message}){outlook}",
            # Who waits for a job hears of its failure anyway, and not as a line of a log.
            level=logging.ERROR if is_bug else logging.INFO if retry is None else logging.WARNING,
            trace=error if is_bug else None,
        )

    def _log_end(
        self, outcome: str, *, level: int = logging.INFO, trace: Exception | None = None
    ) -> None:
        took_s = time.monotonic() - self._started
        speed = self._last.done / took_s if took_s > 0 else 0.0
        note = f", {self._last.note}" if self._last.note else ""
        _log.log(
            level,
            "job %d (%s) %s after %.1f s at %.1f a second%s",
            self._job.id,
            self._job.kind,
            outcome,
            took_s,
            speed,
            note,
            exc_info=trace,
            extra={
                "job_id": self._job.id,
                "kind": self._job.kind,
                "video_id": self._job.video,
                "duration_s": round(took_s, 3),
                "done": self._last.done,
                "done_per_s": round(speed, 3),
            },
        )

    def _apply(self, pulse: HeartbeatReply) -> None:
        if pulse == "cancel":
            self._cancelled.set()
        elif pulse == "lost":
            self._lost.set()

    def _retry_in_s(self, error: Exception, retry: RetryPolicy | None) -> float | None:
        if retry is None or not may_pass(error):
            return None
        row = self._jobs.get(self._job.id)
        if row.attempts >= row.max_attempts:
            return None
        return retry.delay_s(row.attempts)


def _failure(error: Exception) -> Failure:
    if isinstance(error, LongwatchError):
        return Failure(code=error.code, message=error.message, hint=hint_for(error))
    return Failure(
        code="bug",
        message=f"{type(error).__name__}: {error}",
        hint="this is a bug in Longwatch; the log of the worker holds the traceback",
    )
