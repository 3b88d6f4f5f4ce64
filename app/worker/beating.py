"""A beat beside the work: every so often, and at once when somebody cancels a job."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.jobs import JobChange, Jobs
from storage.records import JobId


@contextmanager
def beating(jobs: Jobs, beat: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Call `beat` on a thread of its own while the body runs.

    Args:
        beat: Keeps leases and hears what has become of jobs.
        every_s: Longest pause between two beats.
    """
    over, early = threading.Event(), threading.Event()

    def hear(change: JobChange | None, job: JobId | None) -> None:
        if change in {None, "cancel"}:
            early.set()

    def run() -> None:
        while not over.is_set():
            if early.wait(every_s):
                early.clear()
            if not over.is_set():
                beat()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    with jobs.hearing(hear):
        thread.start()
        try:
            yield
        finally:
            over.set()
            early.set()
            thread.join()
