"""The worker: bounded, one a stream; stopped, cancelled or killed, it loses nothing."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from app.worker.job_context import JobContext, no_watch
from app.worker.retries import RetryPolicy
from app.worker.worker import Handler, Worker
from engine.errors import InputRefusedError, LeaseLostError, LongwatchError, UnreachableError
from storage.catalog import Catalog, open_catalog
from storage.records import JobId, JobProgress, JobRow
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
QUICK = RetryPolicy(first_s=0.0, most_s=0.0)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.scale)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_library"))
    return f"sqlite:///{tmp_path / 'longwatch.db'}"


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    with open_catalog(url) as opened:
        yield opened


def worker(catalog: Catalog, handler: Handler, *, n_slots: int = 1, lease_s: float = 5) -> Worker:
    return Worker(
        catalog.jobs, {"test": handler}, n_slots=n_slots, lease_s=lease_s, poll_s=0.01, retry=QUICK
    )


def raising(error: Exception) -> Handler:
    def handler(job: JobRow, context: JobContext) -> None:
        raise error

    return handler


def until_told(job: JobRow, context: JobContext) -> None:
    context.progress(1)
    wait_until(context.should_stop)


def test_done_job_keeps_its_last_progress(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        for done in range(1, 101):
            context.progress(done, 100, f"chunk {done}")

    job = catalog.jobs.add("test", {})
    worker(catalog, handler).run(until_idle=True)
    row = catalog.jobs.get(job.id)
    assert (row.state, row.attempts) == ("done", 1)
    assert row.progress == JobProgress(done=100, total=100, note="chunk 100")


def test_refused_input_is_not_tried_again(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    refusal = InputRefusedError("a.txt: not a video", hint="give a video")
    worker(catalog, raising(refusal)).run(until_idle=True)
    row = catalog.jobs.get(job.id)
    assert (row.state, row.attempts) == ("failed", 1)
    assert row.failure is not None
    assert (row.failure.code, row.failure.hint) == ("input_refused", "give a video")


@pytest.mark.parametrize("error", [UnreachableError("camera is silent"), ZeroDivisionError("oh")])
def test_what_may_pass_is_tried_again_but_not_for_ever(catalog: Catalog, error: Exception) -> None:
    job = catalog.jobs.add("test", {}, max_attempts=3)
    worker(catalog, raising(error)).run(until_idle=True)
    row = catalog.jobs.get(job.id)
    assert (row.state, row.attempts) == ("failed", 3)


def test_retries_wait_longer_each_time() -> None:
    policy = RetryPolicy(first_s=5, factor=4, most_s=60)
    assert [policy.delay_s(attempts) for attempts in (1, 2, 3, 4)] == [5, 20, 60, 60]


def test_background_job_takes_no_place_of_others(catalog: Catalog) -> None:
    others_done = threading.Event()

    def observe(job: JobRow, context: JobContext) -> None:
        assert others_done.wait(20)

    def read(job: JobRow, context: JobContext) -> None:
        others_done.set()

    observed = [catalog.jobs.add("observe", {}) for _ in range(2)]
    reading = catalog.jobs.add("read", {})
    Worker(
        catalog.jobs,
        {"observe": observe, "read": read},
        n_slots=1,
        background={"observe": 1},
        poll_s=0.01,
    ).run(until_idle=True)
    assert {catalog.jobs.get(job.id).state for job in (*observed, reading)} == {"done"}


def test_no_more_background_jobs_than_places_of_theirs(catalog: Catalog) -> None:
    lock, most, now = threading.Lock(), list[int](), set[JobId]()

    def observe(job: JobRow, context: JobContext) -> None:
        with lock:
            now.add(job.id)
            most.append(len(now))
        time.sleep(0.05)
        with lock:
            now.discard(job.id)

    for _ in range(4):
        catalog.jobs.add("observe", {})
    handlers: dict[str, Handler] = {"observe": observe, "read": raising(ZeroDivisionError())}
    Worker(catalog.jobs, handlers, n_slots=3, background={"observe": 2}, poll_s=0.01).run(
        until_idle=True
    )
    assert max(most) == 2


def test_no_more_jobs_at_once_than_slots_and_one_a_stream(catalog: Catalog) -> None:
    lock, now, most = threading.Lock(), set[JobId](), list[int]()
    streams: list[str | None] = []
    both = threading.Barrier(2)

    def handler(job: JobRow, context: JobContext) -> None:
        with lock:
            running = [catalog.jobs.get(other).stream for other in now]
            assert job.stream not in running
            now.add(job.id)
            most.append(len(now))
            streams.append(job.stream)
            is_early = len(streams) <= 2
        if is_early:
            both.wait(20)
        with lock:
            now.discard(job.id)

    for number in range(9):
        catalog.jobs.add("test", {}, stream=f"camera {number % 3}")
    worker(catalog, handler, n_slots=2).run(until_idle=True)
    assert {row.state for row in catalog.jobs.list()} == {"done"}
    assert max(most) == 2
    assert len(streams) == 9


def test_cancel_reaches_the_handler(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    slow = worker(catalog, until_told, lease_s=0.3)
    thread = threading.Thread(target=slow.run, kwargs={"until_idle": True})
    thread.start()
    wait_until(lambda: catalog.jobs.get(job.id).state == "running")
    catalog.jobs.cancel(job.id)
    thread.join(20)
    assert catalog.jobs.get(job.id).state == "cancelled"


def test_idle_worker_is_told_of_work_and_not_left_to_look_for_it(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.worker.TOLD_POLL_S", 3600.0)
    idle = Worker(catalog.jobs, {"test": lambda job, context: None}, poll_s=3600)
    thread = threading.Thread(target=idle.run)
    thread.start()
    try:
        for _ in range(2):
            job = catalog.jobs.add("test", {})
            wait_until(lambda job=job: catalog.jobs.get(job.id).state == "done")  # type: ignore[misc]
    finally:
        idle.stop()
        thread.join()


def test_cancel_is_heard_without_a_heartbeat(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.worker.BEAT_S", 3600.0)
    began = threading.Event()

    def handler(job: JobRow, context: JobContext) -> None:
        began.set()
        wait_until(context.should_stop)

    job = catalog.jobs.add("test", {})
    busy = worker(catalog, handler, lease_s=3600)
    thread = threading.Thread(target=busy.run, kwargs={"until_idle": True})
    thread.start()
    assert began.wait(20)
    catalog.jobs.cancel(job.id)
    thread.join()
    assert catalog.jobs.get(job.id).state == "cancelled"


def test_cancel_is_heard_with_the_next_progress(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        catalog.jobs.cancel(job.id)
        context.progress(1)
        assert context.should_stop()
        raise UnreachableError("the camera was switched off as well")

    job = catalog.jobs.add("test", {})
    worker(catalog, handler, lease_s=600).run(until_idle=True)
    assert catalog.jobs.get(job.id).state == "cancelled"


def test_worker_survives_a_job_that_left_with_its_video(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        if job.video is not None:
            catalog.videos.remove(job.video)
            raise UnreachableError("its file is gone")

    video = catalog.videos.add(name="lobby", uri="x").id
    catalog.jobs.add("test", {}, video=video)
    kept = catalog.jobs.add("test", {})
    worker(catalog, handler).run(until_idle=True)
    assert [(row.id, row.state) for row in catalog.jobs.list()] == [(kept.id, "done")]


def test_stopped_worker_hands_its_job_back(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    stopped = worker(catalog, until_told)
    thread = threading.Thread(target=stopped.run)
    thread.start()
    wait_until(lambda: catalog.jobs.get(job.id).progress.done == 1)
    stopped.stop()
    thread.join(20)
    row = catalog.jobs.get(job.id)
    assert (row.state, row.lease, row.attempts) == ("queued", None, 0)


def test_job_that_is_slow_to_stop_keeps_its_lease(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        stopped.stop()
        wait_until(context.should_stop)
        first = catalog.jobs.get(job.id).heartbeat_at
        wait_until(lambda: catalog.jobs.get(job.id).heartbeat_at != first)

    job = catalog.jobs.add("test", {})
    stopped = worker(catalog, handler, lease_s=0.3)
    stopped.run()
    assert catalog.jobs.get(job.id).state == "queued"


def test_handler_that_finished_before_it_was_told_is_done(catalog: Catalog) -> None:
    stopped: Worker

    def handler(job: JobRow, context: JobContext) -> None:
        stopped.stop()

    job = catalog.jobs.add("test", {})
    stopped = worker(catalog, handler)
    stopped.run()
    assert catalog.jobs.get(job.id).state == "done"


def test_heartbeat_outlasts_the_lease(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            assert catalog.jobs.claim("thief", ["test"], lease_s=1) is None
            time.sleep(0.05)

    job = catalog.jobs.add("test", {})
    worker(catalog, handler, lease_s=1.5).run(until_idle=True)
    assert catalog.jobs.get(job.id).state == "done"


def test_worker_that_lost_its_job_is_told_and_says_no_more(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        catalog.jobs.abandon(job)
        heir = catalog.jobs.claim("heir", ["test"], lease_s=60)
        assert heir is not None
        wait_until(context.should_stop)

    job = catalog.jobs.add("test", {})
    worker(catalog, handler, lease_s=0.3).run(until_idle=True)
    row = catalog.jobs.get(job.id)
    assert row.state == "running"
    assert str(row.lease).startswith("heir#")


def test_job_by_hand_runs_here_and_raises_what_went_wrong(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    with pytest.raises(LongwatchError, match="camera is silent"):
        worker(catalog, raising(UnreachableError("camera is silent"))).run_job(job.id)
    assert catalog.jobs.get(job.id).state == "failed"


def test_job_by_hand_is_heard(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        for done in range(3):
            context.progress(done, 3)

    heard: list[float] = []
    job = catalog.jobs.add("test", {})
    row = worker(catalog, handler).run_job(job.id, watch=lambda step: heard.append(step.done))
    assert (row.state, heard) == ("done", [0, 1, 2])


def test_job_by_hand_that_another_worker_has_is_watched(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    other = catalog.jobs.claim("other", ["test"], lease_s=60)
    assert other is not None
    catalog.jobs.report(other, JobProgress(done=4, total=9))
    heard: list[JobProgress] = []

    def watch(progress: JobProgress) -> None:
        heard.append(progress)
        catalog.jobs.finish(other)

    row = worker(catalog, raising(AssertionError())).run_job(job.id, watch=watch)
    assert (row.state, heard) == ("done", [JobProgress(done=4, total=9)])


def test_one_job_is_handed_back_while_the_worker_goes_on(catalog: Catalog) -> None:
    surplus: list[JobId] = []

    class Share:
        def may_take(self, running: Sequence[JobRow]) -> bool:
            return not surplus

        def surplus(self) -> JobId | None:
            return surplus[0] if surplus else None

        def leave(self) -> None:
            pass

    kept, handed = catalog.jobs.add("film", {}), catalog.jobs.add("film", {})
    over = threading.Event()
    running = Worker(
        catalog.jobs,
        {"film": until_told},
        n_slots=2,
        shares={"film": Share()},
        poll_s=0.01,
        stopping=over,
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    wait_until(lambda: len(catalog.jobs.list("running")) == 2)
    surplus.append(handed.id)
    wait_until(lambda: catalog.jobs.get(handed.id).state == "queued")
    assert catalog.jobs.get(kept.id).state == "running"
    over.set()
    thread.join()


def test_a_worker_that_was_silent_for_too_long_stops_by_itself(catalog: Catalog) -> None:
    catalog.jobs.add("test", {})
    claimed = catalog.jobs.claim("other", ["test"], lease_s=60)
    assert claimed is not None
    context = JobContext(
        catalog.jobs, claimed, stopping=threading.Event(), lease_s=0.05, watch=no_watch
    )
    assert not context.should_stop()
    # Nobody has told it anything: its own clock does.
    wait_until(context.should_stop)
    context.settle(None, None)
    assert catalog.jobs.get(claimed.id).state == "queued"


def test_lost_job_is_not_marked_failed_by_the_worker_that_lost_it(catalog: Catalog) -> None:
    job = catalog.jobs.add("test", {})
    worker(catalog, raising(LeaseLostError("job 1 is another worker's"))).run(until_idle=True)
    assert catalog.jobs.get(job.id).failure is None


def test_interrupted_job_by_hand_is_handed_back(catalog: Catalog) -> None:
    def handler(job: JobRow, context: JobContext) -> None:
        raise KeyboardInterrupt

    job = catalog.jobs.add("test", {})
    with pytest.raises(KeyboardInterrupt):
        worker(catalog, handler).run_job(job.id)
    assert catalog.jobs.get(job.id).state == "queued"


KILLED = """
import sys, time
from app.worker.retries import RetryPolicy
from app.worker.worker import Worker
from storage.catalog import open_catalog

def handler(job, context):
    context.progress(3)
    print("begun", flush=True)
    time.sleep(60)

catalog = open_catalog(sys.argv[1])
Worker(catalog.jobs, {"test": handler}, name=sys.argv[2] or None, lease_s=float(sys.argv[3])).run()
"""


@pytest.mark.parametrize(
    ("name", "lease_s"), [("", 600.0), ("elsewhere", 1.0)], ids=["same machine", "other machine"]
)
def test_job_of_a_killed_worker_is_taken_over(
    catalog: Catalog, url: str, name: str, lease_s: float
) -> None:
    job = catalog.jobs.add("test", {})
    command = [sys.executable, "-c", KILLED, url, name, str(lease_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        killed.send_signal(signal.SIGKILL)
    taken: list[JobRow] = []

    def handler(job: JobRow, context: JobContext) -> None:
        taken.append(job)

    heir = worker(catalog, handler)
    wait_until(lambda: heir.run(until_idle=True) or bool(taken))
    row = catalog.jobs.get(job.id)
    assert (row.state, row.attempts) == ("done", 2)
    assert taken[0].progress == JobProgress(done=3)


def test_worker_without_slots_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        worker(catalog, until_told, n_slots=0)


def test_worker_of_another_machine_is_not_taken_for_dead(catalog: Catalog) -> None:
    # A lease as another machine writes it, with a process number that nobody has here.
    nobody = max(psutil.pids()) + 1
    while psutil.pid_exists(nobody):
        nobody += 1
    job = catalog.jobs.add("test", {})
    running = catalog.jobs.claim(f"other-host/1:{nobody}", ["test"], lease_s=60)
    assert running is not None
    worker(catalog, raising(AssertionError("it was taken over"))).run(until_idle=True)
    assert catalog.jobs.get(job.id) == running
    assert catalog.jobs.heartbeat(running, lease_s=60) != "lost"
