"""The even share of each worker in jobs without an end, such as the filming of cameras.

Workers tell the database that they are there and how many they have places for. One takes another
job only while no other with room has fewer, so that of ten cameras each of three workers gets three
or four; one that comes later is handed some, one at a time.
"""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

from app.worker.processes import is_dead
from storage.catalog import Catalog, utc_now
from storage.records import JobId, JobRow
from storage.workers import WorkerRow

SETTLED_S: Final = 30.0
"""How long a worker is there before others hand it a job, and how long between two that one
hands over: every hand-over is a gap of seconds."""


class JobShare(Protocol):
    """The share of a worker in one kind of job."""

    def may_take(self, running: Sequence[JobRow]) -> bool:
        """Tell whether another one of the kind is this worker's to take."""

    def surplus(self) -> JobId | None:
        """Return a job of this worker that another should have; `None` where it is even."""

    def leave(self) -> None:
        """Tell the others that this worker stops."""


class WorkerShare:
    """The share of a worker among all workers of a library."""

    def __init__(
        self,
        catalog: Catalog,
        kind: str,
        name: str,
        *,
        places: int,
        silent_s: float,
        settled_s: float = SETTLED_S,
    ) -> None:
        """Prepare a share, which announces nothing yet.

        Args:
            name: Of the worker, as its leases have it.
            places: Jobs of the kind that it does at a time.
            silent_s: Silence after which it counts for nothing.
        """
        self._catalog = catalog
        self._kind = kind
        self._name = name
        self._places = places
        self._silent_s = silent_s
        self._settled_s = settled_s
        self._announced_at = float("-inf")
        self._evened_at = time.monotonic()

    def may_take(self, running: Sequence[JobRow]) -> bool:
        """Tell whether another job is this worker's to take: no other with room has fewer."""
        self._announce()
        counts = self._counts(running)
        return all(counts[self._name] <= counts[other.name] for other in self._free(counts))

    def surplus(self) -> JobId | None:
        """Return the newest job of this worker where another with room has two fewer."""
        self._announce()
        now = time.monotonic()
        if now - self._evened_at < self._settled_s:
            return None
        self._evened_at = now
        jobs = [
            job for job in self._catalog.jobs.list("queued", "running") if job.kind == self._kind
        ]
        counts = self._counts(jobs)
        # Those that wait are taken first, and of equals one hands over.
        is_fullest = max(counts, key=lambda name: (counts[name], name), default="") == self._name
        if not is_fullest or any(job.state == "queued" for job in jobs):
            return None
        since = utc_now() - timedelta(seconds=self._settled_s)
        settled = [other for other in self._free(counts) if other.started_at <= since]
        if not any(counts[self._name] >= counts[other.name] + 2 for other in settled):
            return None
        return max(job.id for job in jobs if job.worker == self._name)

    def leave(self) -> None:
        """Tell the others that this worker stops."""
        self._catalog.workers.remove(self._name)

    def _announce(self) -> None:
        now = time.monotonic()
        if now - self._announced_at >= self._silent_s / 3:
            self._catalog.workers.announce(self._name, places=self._places)
            self._announced_at = now

    def _free(self, counts: Counter[str]) -> list[WorkerRow]:
        """Return the other workers that are there and have room."""
        return [
            worker
            for worker in self._catalog.workers.present(silent_s=self._silent_s)
            if worker.name != self._name
            and counts[worker.name] < worker.places
            and not is_dead(f"{worker.name}#")
        ]

    def _counts(self, jobs: Sequence[JobRow]) -> Counter[str]:
        return Counter(
            job.worker or "" for job in jobs if job.kind == self._kind and job.state == "running"
        )
