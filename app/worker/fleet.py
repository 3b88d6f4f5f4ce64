"""Jobs done by the readers of a cluster: handed out, followed in their rows, handed on.

    rows of jobs -> one job a reader -> the reader's own lease, heartbeat, progress, end -> rows

The rows decide: a reader that died, or a node that is cut off, has at most the chunk lost that it
was at, and the next reader goes on behind the last one that was committed.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from app.config.settings import Settings
from app.errors import ReportedError
from app.progress import ProgressCallback, ProgressUpdate
from app.services.context import ServiceContext
from app.version import product_version
from app.worker.node_reader import NodeOrder, NodeReport
from app.worker.processes import this_machine
from app.worker.ray_cluster import Call, RayReader, Returned
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.records import Fingerprint
from storage.catalog import utc_now
from storage.files import HomeFolder
from storage.records import JobId, JobRow

LOOK_S: Final = 0.5
CAPACITY_EVERY_S: Final = 5.0
"""How soon readers follow a cluster that grew."""
MOST_EARLY_DEATHS: Final = 3
"""Readers that die one after the other before they have opened the library: no accident."""
STOP_S: Final = 60.0
"""Longest wait for readers that were asked to stop: a chunk of a large model takes long."""

_READING: Final = (
    "model",
    "dtype",
    "adapter_alpha",
    "allow_network",
    "weights",
    "media",
    "sampling",
    "stream",
    "stills",
    "sight",
    "limits",
    "workers",
)
"""Settings that decide what is read of a video. Others, and all secrets, are each node's own."""

_ENDED: Final = frozenset({"done", "failed", "cancelled"})

FollowUp = Callable[[JobRow], Sequence[JobRow]]
"""Called with each job that has ended; returns jobs that come behind it."""


class Cluster(Protocol):
    """A cluster that readers run in."""

    def capacity(self) -> int:
        """Return how many readers have room."""

    def start(self, order: NodeOrder) -> RayReader:
        """Start a reader, which waits in the cluster until there is room for it."""

    def wait(self, calls: Sequence[Call], timeout_s: float) -> dict[Call, Returned]:
        """Wait for calls to end, and return those that have."""


class Fleet:
    """The readers of one run."""

    def __init__(self, context: ServiceContext, cluster: Cluster, order: NodeOrder) -> None:
        self._jobs = context.catalog.jobs
        self._cluster = cluster
        self._order = order
        self._opening: dict[Call, RayReader] = {}
        self._idle: list[RayReader] = []
        self._busy: dict[Call, tuple[RayReader, JobRow]] = {}
        self._names: dict[RayReader, str] = {}
        self._fingerprint: Fingerprint | None = None
        self._n_early_deaths = 0
        self._capacity, self._looked_at = 0, float("-inf")

    def fingerprint(self) -> Fingerprint:
        """Return the pipeline that the readers read with; waits for the first of them.

        Raises:
            LongwatchError: A node cannot be used, and the error says which and why.
        """
        self._start_readers(1)
        while self._fingerprint is None:
            self._hear(LOOK_S)
            self._start_readers(1)
        return self._fingerprint

    def run(
        self,
        jobs: Sequence[JobRow],
        *,
        names: Callable[[JobRow], str],
        report: ProgressCallback,
        follow_up: FollowUp = lambda job: (),
    ) -> list[JobRow]:
        """Have jobs done, no more at a time than there are readers; return how they ended.

        A job that another worker of the library takes first is waited for.

        Args:
            names: What the work of a job is called in its progress.
        Raises:
            LongwatchError: No node can do them.
            KeyboardInterrupt: Ctrl-C; what is done is kept, and the jobs are handed back.
        """
        left: dict[JobId, JobRow] = {job.id: job for job in jobs}
        ended: list[JobRow] = []
        try:
            while left:
                self._start_readers(len(left))
                for job in [*left]:
                    row = self._row(job)
                    if row is None:
                        del left[job]
                    elif row.state in _ENDED and not self._is_busy(job):
                        del left[job]
                        ended.append(row)
                        left |= {new.id: new for new in follow_up(row)}
                    else:
                        left[job] = row
                        report(_progress(names(row), row))
                self._hand_out([*left.values()])
                self._hear(LOOK_S if left else 0.0)
        except KeyboardInterrupt:
            self._hand_back()
            raise
        return ended

    def end(self) -> None:
        """End every reader; what one still had is anybody's at once."""
        readers = [
            *self._idle,
            *self._opening.values(),
            *(reader for reader, _ in self._busy.values()),
        ]
        for reader in readers:
            reader.end()
        for reader, job in self._busy.values():
            self._abandon(reader, job)
        self._idle, self._opening, self._busy = [], {}, {}

    def _row(self, job: JobId) -> JobRow | None:
        try:
            return self._jobs.get(job)
        except NotFoundError:
            return None  # Deleted with its video.

    def _is_busy(self, job: JobId) -> bool:
        return any(row.id == job for _, row in self._busy.values())

    def _start_readers(self, n_wanted: int) -> None:
        now = time.monotonic()
        if now - self._looked_at > CAPACITY_EVERY_S:
            self._capacity, self._looked_at = self._cluster.capacity(), now
        n_readers = len(self._opening) + len(self._idle) + len(self._busy)
        for _ in range(n_readers, min(n_wanted, max(1, self._capacity))):
            reader = self._cluster.start(self._order)
            self._opening[reader.open()] = reader

    def _hand_out(self, jobs: Sequence[JobRow]) -> None:
        now = utc_now()
        for job in jobs:
            if not self._idle:
                return
            # Queued for now, or left by a worker that is silent.
            free_at = job.run_at if job.state == "queued" else job.lease_until
            if free_at is not None and free_at <= now and not self._is_busy(job.id):
                reader = self._idle.pop(0)
                self._busy[reader.run(job.id, job.created_at.isoformat())] = (reader, job)

    def _hear(self, timeout_s: float) -> None:
        """Wait for calls to end, and put their readers where they belong."""
        calls = [*self._opening, *self._busy]
        returned = self._cluster.wait(calls, timeout_s)
        if not calls:
            time.sleep(timeout_s)
        for call, end in returned.items():
            if call in self._opening:
                self._hear_opened(self._opening.pop(call), end)
            else:
                reader, job = self._busy.pop(call)
                if end.died is not None:
                    reader.end()
                    self._abandon(reader, job)
                elif end.value is not None:
                    raise _failure(end.value)
                else:
                    self._idle.append(reader)

    def _hear_opened(self, reader: RayReader, end: Returned) -> None:
        if end.died is not None:
            reader.end()
            self._n_early_deaths += 1
            if self._n_early_deaths >= MOST_EARLY_DEATHS:
                raise UnreachableError(
                    f"the cluster cannot start a reader: {end.died}",
                    hint="every node needs the same Longwatch, Python and Ray as this machine, and "
                    "memory for the model",
                )
            return
        report: NodeReport = end.value
        if report.failure is not None:
            reader.end()
            raise _failure(report.failure)
        known = self._fingerprint = self._fingerprint or Fingerprint(report.fingerprint)
        if known != report.fingerprint:
            reader.end()
            raise InputRefusedError(
                f"node {report.node} has another model than the others of the cluster",
                hint="the same weights and settings belong on every node",
            )
        self._n_early_deaths = 0
        self._names[reader] = report.worker
        self._idle.append(reader)

    def _abandon(self, reader: RayReader, job: JobRow) -> None:
        """Have the job of a reader that is gone taken over at once."""
        row = self._row(job.id)
        if row is not None and row.state == "running" and row.worker == self._names.get(reader):
            self._jobs.abandon(row)

    def _hand_back(self) -> None:
        """Stop the readers and wait until they have handed their jobs back."""
        for reader, _ in self._busy.values():
            reader.stop()
        end_s = time.monotonic() + STOP_S
        # A second Ctrl-C waits no longer: their jobs are anybody's then.
        with suppress(KeyboardInterrupt):
            while self._busy and time.monotonic() < end_s:
                self._hear(LOOK_S)


@contextmanager
def open_fleet(context: ServiceContext, cluster: Cluster) -> Iterator[Fleet]:
    """Prepare readers for a library, and end them at the end."""
    home, mark = HomeFolder(context.settings.home), f"ray-{secrets.token_hex(8)}"
    home.write_mark(mark)
    order = NodeOrder(
        home=str(context.settings.home),
        mark=mark,
        machine=this_machine(),
        version=product_version(),
        store=context.settings.objects.url,
        settings=reading_settings(context.settings),
    )
    fleet = Fleet(context, cluster, order)
    try:
        yield fleet
    finally:
        fleet.end()
        home.remove_mark(mark)


def reading_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide what is read of a video, by dotted name."""
    values = settings.model_dump(mode="json", include={*_READING})
    return {name: value for name, value in _dotted(values) if value is not None}


def _progress(what: str, job: JobRow) -> ProgressUpdate:
    progress = job.progress
    return ProgressUpdate(what=what, done=progress.done, total=progress.total, note=progress.note)


def _dotted(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _failure(described: dict[str, str | None]) -> ReportedError:
    return ReportedError(
        described["code"] or "error", described["message"] or "", hint=described["hint"]
    )
