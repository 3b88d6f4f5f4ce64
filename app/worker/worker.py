"""The worker: claims jobs, keeps their leases alive, and writes down how they ended.

    queue -> claim -> handler(job, context) -> done | cancelled | failed | tried again later
                         ^ one heartbeat thread keeps every lease and brings bad news

A worker that is killed stops beating; the next one takes its jobs over, at once on the same
machine, where the dead can be told from the silent, and after the lease on another.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress

from app.worker.beating import beating
from app.worker.job_context import JobContext, Watch, no_watch
from app.worker.processes import is_dead, this_process
from app.worker.retries import RetryPolicy
from app.worker.shares import JobShare
from engine.errors import NotFoundError, UnreachableError
from storage.jobs import JobChange, Jobs
from storage.records import JobId, JobRow

LEASE_S = 30.0
"""A worker that was silent for so long has lost its jobs."""
BEAT_S = 2.0
"""How soon a cancel is heard by a job that makes no progress."""
POLL_S = 1.0
TOLD_POLL_S = 5.0
"""How often to look for work where changes are told: leases and pauses end untold."""

_log = logging.getLogger(__name__)

Handler = Callable[[JobRow, JobContext], None]
"""Does one kind of job. Returns when it is done, or soon after `should_stop`; may be run again
after any interruption, so it must find out by itself what is done already."""


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
        leases: Mapping[str, float] | None = None,
        shares: Mapping[str, JobShare] | None = None,
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
            leases: The same for kinds that have another.
            shares: Kinds that several workers divide among themselves.
            poll_s: How often to look for work while there is none, and nobody tells of any.
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
        self._leases = dict(leases or {})
        self._shares = dict(shares or {})
        self._poll_s = poll_s
        self._retry = retry or RetryPolicy()
        self.name = name or this_process()
        self._stopping = stopping or threading.Event()
        self._contexts: set[JobContext] = set()
        self._changed = threading.Event()

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`, or until nothing is left that may run now."""
        _log.info("worker %s starts, %d jobs at a time", self.name, self._n_slots)
        n_threads = self._n_slots + sum(self._background.values())
        with (
            self._jobs.hearing(self._hear),
            self._heartbeats(),
            ThreadPoolExecutor(n_threads, "job") as pool,
        ):
            try:
                self._loop(pool, until_idle)
            except BaseException:
                # Ctrl-C: jobs that run are told to stop, and waited for.
                self._stopping.set()
                raise
            finally:
                self._leave()

    def run_job(self, job: JobId, *, watch: Watch = no_watch) -> JobRow:
        """Do one job on the calling thread, or watch the worker that has it, until it ends.

        Args:
            job: Asked for by hand, so it starts at once and is not tried again.
            watch: Hears how far the job is, here or at the worker that has it.
        Raises:
            LongwatchError: What the handler raised here; one that failed elsewhere says so in
                the `failure` of the row.
        """
        with self._jobs.hearing(lambda *_: self._changed.set()):
            return self._run_job(job, watch)

    def _run_job(self, job: JobId, watch: Watch) -> JobRow:
        while True:
            self._reap_dead_workers()
            kinds = [*self._handlers]
            claimed = self._jobs.claim(self.name, kinds, lease_s=self._least_s(kinds), job=job)
            if claimed is not None:
                with self._heartbeats():
                    self._do(claimed, retry=None, watch=watch)
                return self._jobs.get(job)
            row = self._jobs.get(job)
            if row.state not in {"queued", "running"} or self._stopping.is_set():
                return row
            watch(row.progress)
            self._pause()

    def run_assigned(self, job: JobId) -> None:
        """Do one job of the queue on the calling thread, if nobody has it and it may run now.

        How it ended stands in its row: one that failed is tried again, as any of the queue.
        """
        self._reap_dead_workers()
        kinds = [*self._handlers]
        claimed = self._jobs.claim(
            self.name, kinds, lease_s=self._least_s(kinds), job=job, anew=False
        )
        if claimed is not None:
            with self._heartbeats():
                self._do_and_report(claimed)

    def stop(self) -> None:
        """Begin no job any more and hand back those that run; safe in a signal handler."""
        self._stopping.set()

    def _hear(self, change: JobChange | None, job: JobId | None) -> None:
        if change not in {"started", "moved"}:
            self._changed.set()

    def _pause(self) -> None:
        """Wait until something has changed, or for as long as nobody might have told of it."""
        rest_s = max(self._poll_s, TOLD_POLL_S) if self._jobs.is_told else self._poll_s
        end_s = time.monotonic() + rest_s
        # Who stops this worker sets a flag, which is all that a signal handler should do.
        while not self._stopping.is_set() and (left_s := end_s - time.monotonic()) > 0:
            if self._changed.wait(min(left_s, POLL_S)):
                break
        self._changed.clear()

    def _loop(self, pool: ThreadPoolExecutor, until_idle: bool) -> None:
        running: dict[Future[None], str] = {}
        while not self._stopping.is_set():
            for future in [future for future in running if future.done()]:
                del running[future]
                future.result()
            job = self._claim(self._kinds_with_room([*running.values()]))
            if job is not None:
                future = pool.submit(self._do_and_report, job)
                running[future] = job.kind
                future.add_done_callback(lambda _: self._changed.set())
            elif until_idle and not running:
                return
            else:
                self._pause()
            self._even_out()
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
            running = self._reap_dead_workers()
            kinds = [
                kind
                for kind in kinds
                if kind not in self._shares or self._shares[kind].may_take(running)
            ]
            if not kinds:
                return None
            return self._jobs.claim(self.name, kinds, lease_s=self._least_s(kinds))
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
            self._jobs,
            job,
            stopping=self._stopping,
            lease_s=self._leases.get(job.kind, self._lease_s),
            watch=watch,
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

    def _heartbeats(self) -> AbstractContextManager[None]:
        every_s = min(BEAT_S, self._least_s([*self._handlers]) / 3)
        return beating(self._jobs, self._beat, every_s=every_s)

    def _beat(self) -> None:
        for context in [*self._contexts]:
            context.heartbeat()
            context.write_progress()

    def _even_out(self) -> None:
        """Hand a job back of which another worker has too few."""
        try:
            for share in self._shares.values():
                surplus = share.surplus()
                for context in [*self._contexts] if surplus is not None else ():
                    if context.job.id == surplus:
                        _log.info("job %d is handed to a worker that has fewer", surplus)
                        context.hand_back()
        except UnreachableError as error:
            _log.warning("no look at other workers: %s", error)

    def _leave(self) -> None:
        for share in self._shares.values():
            # Else the others notice by its silence.
            with suppress(UnreachableError):
                share.leave()

    def _least_s(self, kinds: Sequence[str]) -> float:
        """Return the shortest lease of some kinds: the first heartbeat gives each its own."""
        return min(self._leases.get(kind, self._lease_s) for kind in kinds)

    def _reap_dead_workers(self) -> tuple[JobRow, ...]:
        """Let the jobs of processes that have ended be taken over; return those that run."""
        running = self._jobs.list("running")
        for job in running:
            if is_dead(job.lease):
                self._jobs.abandon(job)
        return running
