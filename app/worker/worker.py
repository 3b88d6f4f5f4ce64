"""The worker: claims jobs, keeps their leases alive, and writes down how they ended.

    queue -> claim -> handler(job, context) -> done | cancelled | failed | tried again later
                         ^ one heartbeat thread keeps every lease and brings bad news

A worker that is killed stops beating; the next one takes its jobs over, at once on the same
machine, where the dead can be told from the silent, and after the lease on another.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import hint_for
from app.worker.processes import is_dead, this_process
from engine.errors import LongwatchError, NotFoundError, UnreachableError
from storage.jobs import Jobs
from storage.records import Failure, HeartbeatReply, JobId, JobProgress, JobRow

LEASE_S = 30.0
"""A worker that was silent for so long has lost its jobs."""
BEAT_S = 2.0
"""How soon a cancel is heard by a job that makes no progress."""
POLL_S = 1.0
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
        self._stop_observed = False
        self._unwritten: JobProgress | None = None
        self._last = job.progress
        self._written_at = float("-inf")
        self._started = time.monotonic()
        self._held_until = self._started + lease_s

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
        it already. What is committed stays; the next worker goes on from there.
        """
        stop = self._cancelled.is_set() or self._stopping.is_set() or self._lost.is_set()
        self._stop_observed = self._stop_observed or stop
        return stop

    def heartbeat(self) -> None:
        """Keep the lease and hear the news; the worker does this, a handler need not."""
        try:
            pulse = self._jobs.heartbeat(self._job, lease_s=self._lease_s)
        except UnreachableError as error:
            # A database that is away for a moment takes nobody's job, the lease does.
            _log.warning("job %d: no heartbeat: %s", self._job.id, error)
            if time.monotonic() > self._held_until:
                self._lost.set()
            return
        self._held_until = time.monotonic() + self._lease_s
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

    def settle(self, error: Exception | None, retry: "RetryPolicy | None") -> None:
        """Write down how the handler came back."""
        self.write_progress()
        if self._lost.is_set():
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

    def _settle_failure(self, error: Exception, retry: "RetryPolicy | None") -> None:
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

    def _retry_in_s(self, error: Exception, retry: "RetryPolicy | None") -> float | None:
        if retry is None or not _may_pass(error):
            return None
        row = self._jobs.get(self._job.id)
        if row.attempts >= row.max_attempts:
            return None
        return retry.delay_s(row.attempts)


Handler = Callable[[JobRow, JobContext], None]
"""Does one kind of job. Returns when it is done, or soon after `should_stop`; may be run again
after any interruption, so it must find out by itself what is done already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The pauses before a failed job is tried again."""

    first_s: float = 5.0
    factor: float = 4.0
    most_s: float = 600.0

    def delay_s(self, attempts: int) -> float:
        """Seconds to wait after so many starts that led nowhere."""
        return float(min(self.most_s, self.first_s * self.factor ** max(0, attempts - 1)))


class Worker:
    """Runs jobs with a bounded number of threads, one per stream."""

    def __init__(
        self,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        *,
        n_slots: int = 1,
        background: Mapping[str, int] | None = None,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        retry: RetryPolicy | None = None,
        name: str | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Prepare a worker, which starts nothing yet.

        Args:
            handlers: By kind of job.
            n_slots: Jobs at a time.
            background: Kinds with places of their own, and how many of each run at a time.
            lease_s: Silence after which others take over.
            poll_s: How often to look for work while there is none.
            retry: For failures that may pass.
            name: Names this process in the rows; only tests give one.
            stopping: Stops it when it is set; of its own when `None`.
        """
        if n_slots < 1:
            raise ValueError(f"n_slots must be at least 1, not {n_slots}")
        self._jobs = jobs
        self._handlers = handlers
        self._n_slots = n_slots
        self._background = dict(background or {})
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._retry = retry or RetryPolicy()
        self.name = name or this_process()
        self._stopping = stopping or threading.Event()
        self._contexts: set[JobContext] = set()

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`, or until nothing is left that may run now."""
        _log.info("worker %s starts, %d jobs at a time", self.name, self._n_slots)
        n_threads = self._n_slots + sum(self._background.values())
        with self._heartbeats(), ThreadPoolExecutor(n_threads, "job") as pool:
            try:
                self._loop(pool, until_idle)
            except BaseException:
                # Ctrl-C: jobs that run are told to stop, and waited for.
                self._stopping.set()
                raise

    def run_job(self, job: JobId, *, watch: Watch = no_watch) -> JobRow:
        """Do one job on the calling thread, or watch the worker that has it, until it ends.

        Args:
            job: Asked for by hand, so it starts at once and is not tried again.
            watch: Hears how far the job is, here or at the worker that has it.
        Raises:
            LongwatchError: What the handler raised here; one that failed elsewhere says so in
                the `failure` of the row.
        """
        while True:
            self._reap_dead_workers()
            claimed = self._jobs.claim(self.name, [*self._handlers], lease_s=self._lease_s, job=job)
            if claimed is not None:
                with self._heartbeats():
                    self._do(claimed, retry=None, watch=watch)
                return self._jobs.get(job)
            row = self._jobs.get(job)
            if row.state not in {"queued", "running"} or self._stopping.is_set():
                return row
            watch(row.progress)
            self._stopping.wait(self._poll_s)

    def stop(self) -> None:
        """Begin no job any more and hand back those that run; safe in a signal handler."""
        self._stopping.set()

    def _loop(self, pool: ThreadPoolExecutor, until_idle: bool) -> None:
        running: dict[Future[None], str] = {}
        while not self._stopping.is_set():
            for future in [future for future in running if future.done()]:
                del running[future]
                future.result()
            job = self._claim(self._kinds_with_room([*running.values()]))
            if job is not None:
                running[pool.submit(self._do_and_report, job)] = job.kind
            elif running:
                wait(running, timeout=self._poll_s, return_when=FIRST_COMPLETED)
            elif until_idle:
                return
            else:
                self._stopping.wait(self._poll_s)
        for future in running:
            future.result()

    def _kinds_with_room(self, running: Sequence[str]) -> list[str]:
        """Return the kinds of which one more may run beside those that do."""
        n_foreground = sum(kind not in self._background for kind in running)
        return [
            kind
            for kind in self._handlers
            if (
                running.count(kind) < self._background[kind]
                if kind in self._background
                else n_foreground < self._n_slots
            )
        ]

    def _claim(self, kinds: Sequence[str]) -> JobRow | None:
        if not kinds:
            return None
        try:
            self._reap_dead_workers()
            return self._jobs.claim(self.name, kinds, lease_s=self._lease_s)
        except UnreachableError as error:
            _log.warning("no look for work: %s", error)
            return None

    def _do_and_report(self, job: JobRow) -> None:
        try:
            self._do(job, retry=self._retry, watch=no_watch)
        except NotFoundError:
            _log.info("job %d left with its video", job.id)
        except UnreachableError as error:
            # The lease runs out and the job is taken over: nothing is lost but time.
            _log.warning("job %d: its end could not be written down: %s", job.id, error)

    def _do(self, job: JobRow, *, retry: RetryPolicy | None, watch: Watch) -> None:
        """Run a handler and write down how it ended; without `retry`, raise what it raised."""
        context = JobContext(
            self._jobs, job, stopping=self._stopping, lease_s=self._lease_s, watch=watch
        )
        self._contexts.add(context)
        _log.info(
            "job %d (%s) starts, attempt %d%s",
            job.id,
            job.kind,
            job.attempts,
            "" if job.video is None else f", video {job.video}",
            extra={"job_id": job.id, "kind": job.kind, "video_id": job.video},
        )
        try:
            self._handlers[job.kind](job, context)
        except Exception as error:
            context.settle(error, retry)
            if retry is None:
                raise
        except (KeyboardInterrupt, SystemExit):
            # Ctrl-C on the calling thread: whoever runs next goes on from here.
            self._jobs.release(job)
            raise
        else:
            context.settle(None, retry)
        finally:
            self._contexts.discard(context)

    @contextmanager
    def _heartbeats(self) -> Iterator[None]:
        over = threading.Event()

        def beat() -> None:
            while not over.wait(min(BEAT_S, self._lease_s / 3)):
                for context in [*self._contexts]:
                    context.heartbeat()
                    context.write_progress()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _reap_dead_workers(self) -> None:
        for job in self._jobs.list("running"):
            if is_dead(job.lease):
                self._jobs.abandon(job)


def _failure(error: Exception) -> Failure:
    if isinstance(error, LongwatchError):
        return Failure(code=error.code, message=error.message, hint=hint_for(error))
    return Failure(
        code="bug",
        message=f"{type(error).__name__}: {error}",
        hint="this is a bug in Longwatch; the log of the worker holds the traceback",
    )


def _may_pass(error: Exception) -> bool:
    """Tell whether trying again may help: the world changes, what was refused stays refused."""
    return isinstance(error, UnreachableError) or not isinstance(error, LongwatchError)
