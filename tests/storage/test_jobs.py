"""Jobs: who gets one, who loses it, and what a stream means."""

import queue
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import NotFoundError
from storage import catalog as catalog_module
from storage.catalog import Catalog, open_catalog
from storage.records import Failure, JobId, JobProgress, JobRow
from tests.storage.conftest import Clock

FAILURE = Failure(code="unreachable", message="camera is silent", hint="is it on?")


def claim(catalog: Catalog, owner: str = "worker", *kinds: str) -> JobRow | None:
    return catalog.jobs.claim(owner, kinds or ("ingest",), lease_s=30)


def claimed(catalog: Catalog, owner: str = "worker") -> JobRow:
    job = claim(catalog, owner)
    assert job is not None
    return job


def test_job_comes_out_as_it_went_in(catalog: Catalog, clock: Clock) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    added = catalog.jobs.add("ingest", {"source": "a.mp4", "fps": 1.5}, video=video, stream="s")
    assert catalog.jobs.get(added.id) == added
    assert added.payload == {"source": "a.mp4", "fps": 1.5}
    assert (added.state, added.attempts, added.created_at) == ("queued", 0, clock.time)


def test_oldest_job_of_a_known_kind_goes_first(catalog: Catalog) -> None:
    catalog.jobs.add("probe", {})
    first = catalog.jobs.add("ingest", {})
    catalog.jobs.add("ingest", {})
    assert claimed(catalog).id == first.id


def test_claimed_job_goes_to_nobody_else(catalog: Catalog) -> None:
    catalog.jobs.add("ingest", {})
    assert claimed(catalog, "one").state == "running"
    assert claim(catalog, "two") is None


def test_many_workers_at_once_get_each_job_once(catalog: Catalog) -> None:
    wanted = {catalog.jobs.add("ingest", {}).id for _ in range(12)}

    def work(number: int) -> list[JobId]:
        mine = []
        while (job := claim(catalog, f"worker {number}")) is not None:
            mine.append(job.id)
        return mine

    with ThreadPoolExecutor(4) as pool:
        got = [job for jobs in pool.map(work, range(4)) for job in jobs]
    assert sorted(got) == sorted(wanted)


def test_stream_runs_one_at_a_time_in_order(catalog: Catalog) -> None:
    first = catalog.jobs.add("ingest", {}, stream="lobby")
    second = catalog.jobs.add("ingest", {}, stream="lobby")
    other = catalog.jobs.add("ingest", {}, stream="gate")
    running = claimed(catalog)
    assert running.id == first.id
    assert claimed(catalog).id == other.id
    assert claim(catalog) is None
    catalog.jobs.finish(running)
    assert claimed(catalog).id == second.id


def test_retried_job_waits_for_the_one_that_runs_in_its_stream(catalog: Catalog) -> None:
    first = catalog.jobs.add("ingest", {}, stream="lobby")
    catalog.jobs.add("ingest", {}, stream="lobby")
    catalog.jobs.fail(claimed(catalog), FAILURE)
    running = claimed(catalog)
    catalog.jobs.retry(first.id)
    assert claim(catalog) is None
    catalog.jobs.finish(running)
    assert claimed(catalog).id == first.id


def test_job_that_waits_for_its_retry_is_not_overtaken_in_its_stream(
    catalog: Catalog, clock: Clock
) -> None:
    first = catalog.jobs.add("ingest", {}, stream="lobby")
    second = catalog.jobs.add("ingest", {}, stream="lobby")
    catalog.jobs.fail(claimed(catalog), FAILURE, retry_in_s=60)
    assert claim(catalog) is None
    clock.advance(60)
    again = claimed(catalog)
    assert again.id == first.id
    catalog.jobs.finish(again)
    assert claimed(catalog).id == second.id


def test_many_workers_at_once_keep_a_stream_to_one(catalog: Catalog) -> None:
    for _ in range(8):
        catalog.jobs.add("ingest", {}, stream="lobby")

    def work(number: int) -> JobRow | None:
        return claim(catalog, f"worker {number}")

    with ThreadPoolExecutor(4) as pool:
        got = [job for job in pool.map(work, range(8)) if job is not None]
    assert len(got) == 1


def test_silent_worker_loses_its_job(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {})
    dead = claimed(catalog, "dead")
    clock.advance(29)
    assert claim(catalog, "heir") is None
    clock.advance(2)
    heir = claimed(catalog, "heir")
    assert (heir.id, heir.attempts) == (dead.id, 2)
    assert catalog.jobs.heartbeat(dead, lease_s=30) == "lost"
    assert catalog.jobs.report(dead, JobProgress(done=1)) == "lost"
    assert not catalog.jobs.finish(dead)
    assert not catalog.jobs.fail(dead, FAILURE)
    assert not catalog.jobs.release(dead)
    assert catalog.jobs.get(heir.id) == heir


def test_two_claims_of_one_worker_are_told_apart(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {})
    stale = claimed(catalog, "worker")
    clock.advance(31)
    current = claimed(catalog, "worker")
    assert current.id == stale.id
    assert catalog.jobs.heartbeat(stale, lease_s=30) == "lost"
    assert not catalog.jobs.finish(stale)
    assert catalog.jobs.heartbeat(current, lease_s=30) == "go_on"


def test_heartbeat_keeps_the_job(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {})
    job = claimed(catalog)
    for _ in range(5):
        clock.advance(20)
        assert catalog.jobs.heartbeat(job, lease_s=30) == "go_on"
        assert claim(catalog, "thief") is None


def test_job_that_kills_its_workers_is_given_up(catalog: Catalog, clock: Clock) -> None:
    added = catalog.jobs.add("ingest", {}, max_attempts=3)
    for _ in range(3):
        claimed(catalog)
        clock.advance(31)
    assert claim(catalog) is None
    row = catalog.jobs.get(added.id)
    assert row.state == "failed"
    assert row.failure is not None
    assert row.failure.code == "worker_died"


def test_job_that_gets_further_each_time_is_never_given_up(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {}, max_attempts=2)
    for done in range(1, 20):
        step = JobProgress(done=done, total=900)
        assert catalog.jobs.report(claimed(catalog), step) == "go_on"
        clock.advance(31)
    assert claimed(catalog).progress == JobProgress(done=19, total=900)


def test_cancelled_job_never_starts(catalog: Catalog) -> None:
    added = catalog.jobs.add("ingest", {})
    assert catalog.jobs.cancel(added.id).state == "cancelled"
    assert claim(catalog) is None


def test_worker_hears_of_the_cancel(catalog: Catalog) -> None:
    catalog.jobs.add("ingest", {})
    job = claimed(catalog)
    assert catalog.jobs.cancel(job.id).state == "running"
    assert catalog.jobs.heartbeat(job, lease_s=30) == "cancel"
    assert catalog.jobs.report(job, JobProgress(done=1)) == "cancel"
    assert catalog.jobs.finish(job, "cancelled")
    assert catalog.jobs.get(job.id).state == "cancelled"


def test_cancelled_job_of_a_dead_worker_is_not_taken_over(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {})
    job = claimed(catalog)
    catalog.jobs.cancel(job.id)
    clock.advance(31)
    assert claim(catalog) is None
    assert catalog.jobs.get(job.id).state == "cancelled"


def test_failed_job_waits_before_it_is_tried_again(catalog: Catalog, clock: Clock) -> None:
    catalog.jobs.add("ingest", {})
    job = claimed(catalog)
    assert catalog.jobs.fail(job, FAILURE, retry_in_s=60)
    assert claim(catalog) is None
    assert catalog.jobs.get(job.id).failure == FAILURE
    clock.advance(60)
    assert claimed(catalog).attempts == 2


def test_job_failed_for_good_can_be_retried_by_hand(catalog: Catalog) -> None:
    catalog.jobs.add("ingest", {})
    job = claimed(catalog)
    assert catalog.jobs.fail(job, FAILURE)
    assert claim(catalog) is None
    again = catalog.jobs.retry(job.id)
    assert (again.state, again.attempts, again.failure) == ("queued", 0, None)
    assert claimed(catalog).id == job.id


def test_released_job_counts_no_attempt(catalog: Catalog) -> None:
    catalog.jobs.add("ingest", {})
    assert catalog.jobs.release(claimed(catalog))
    assert claimed(catalog).attempts == 1


def test_jobs_leave_with_their_video(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    catalog.jobs.add("ingest", {}, video=video)
    kept = catalog.jobs.add("probe", {})
    catalog.videos.remove(video)
    assert catalog.jobs.list() == (kept,)


def test_jobs_are_listed_newest_first(catalog: Catalog) -> None:
    jobs = [catalog.jobs.add("ingest", {}) for _ in range(3)]
    catalog.jobs.cancel(jobs[1].id)
    assert [job.id for job in catalog.jobs.list()] == [job.id for job in reversed(jobs)]
    assert [job.id for job in catalog.jobs.list("queued", limit=1)] == [jobs[2].id]


def test_unknown_job_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match="no job 7"):
        catalog.jobs.get(JobId(7))


def test_asked_by_hand_starts_at_once_and_afresh(catalog: Catalog, clock: Clock) -> None:
    added = catalog.jobs.add("ingest", {}, max_attempts=1)
    catalog.jobs.add("ingest", {})
    claimed(catalog)
    clock.advance(31)
    again = catalog.jobs.claim("me", ["ingest"], lease_s=30, job=added.id)
    assert again is not None
    assert (again.id, again.attempts) == (added.id, 1)
    catalog.jobs.fail(again, FAILURE, retry_in_s=600)
    waiting = catalog.jobs.claim("me", ["ingest"], lease_s=30, job=added.id)
    assert waiting is not None
    assert waiting.id == added.id


def test_abandoned_job_is_taken_over_at_once(catalog: Catalog) -> None:
    catalog.jobs.add("ingest", {})
    dead = claimed(catalog)
    assert catalog.jobs.abandon(dead)
    assert claimed(catalog, "heir").id == dead.id
    assert not catalog.jobs.abandon(dead)


@pytest.mark.scale
def test_lease_ends_by_the_clock_of_the_server(
    postgres_library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = partial(lambda now: now() + timedelta(hours=1), catalog_module.utc_now)
    with open_catalog(postgres_library) as catalog:
        added = catalog.jobs.add("ingest", {})
        running = claimed(catalog)
        monkeypatch.setattr(catalog_module, "utc_now", ahead)
        with open_catalog(postgres_library) as hasty:
            assert claim(hasty, "thief") is None
            assert not hasty.jobs.is_silent(running)
            assert hasty.jobs.fail(running, FAILURE, retry_in_s=0)
        assert claimed(catalog).id == added.id


def test_changes_of_jobs_are_told(catalog: Catalog) -> None:
    heard: queue.Queue[tuple[str | None, JobId | None]] = queue.Queue()
    with catalog.jobs.hearing(lambda change, job: heard.put((change, job))):
        if not catalog._database.is_sqlite:
            assert heard.get(timeout=60) == (None, None)
        first, second = (catalog.jobs.add("ingest", {}).id for _ in range(2))
        job = claimed(catalog)
        catalog.jobs.report(job, JobProgress(done=1))
        catalog.jobs.cancel(job.id)
        catalog.jobs.finish(job, "cancelled")
        catalog.jobs.fail(claimed(catalog), FAILURE, retry_in_s=5)
        told = [heard.get(timeout=60) for _ in range(8)]
    assert told == [
        ("queued", first), ("queued", second), ("started", first), ("moved", first),
        ("cancel", first), ("ended", first), ("started", second), ("queued", second),
    ]  # fmt: skip


STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["lobby", "gate", None])),
    st.tuples(
        st.sampled_from(["claim", "finish", "fail", "release", "abandon", "cancel", "retry"]),
        st.integers(0, 5),
    ),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 40])),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=10, max_size=40))
def test_whatever_happens_a_stream_has_one_worker_and_a_job_one_owner(
    catalog: Catalog, clock: Clock, steps: list[tuple[str, str | int | None]]
) -> None:
    for row in catalog.jobs.list("queued", "running"):
        catalog.jobs.cancel(row.id)
    clock.advance(100)
    claim(catalog)
    held: list[JobRow] = []
    for name, value in steps:
        _step(catalog, clock, held, name, value)
        running = catalog.jobs.list("running")
        streams = [row.stream for row in running if row.stream is not None]
        assert len(streams) == len(set(streams))
        newest = {job.id: job.lease for job in held}
        assert all(newest[row.id] == row.lease for row in running)


def _step(
    catalog: Catalog, clock: Clock, held: list[JobRow], name: str, value: str | int | None
) -> None:
    if name == "add":
        catalog.jobs.add("ingest", {}, stream=None if value is None else str(value))
    elif name == "wait":
        clock.advance(float(value or 0))
    elif name == "claim":
        live = {
            row.id: row.lease
            for row in catalog.jobs.list("running")
            if row.lease_until is not None and row.lease_until >= clock.time
        }
        if (job := claim(catalog)) is not None:
            assert job.id not in live
            held.append(job)
    elif held:
        job = held[int(value or 0) % len(held)]
        row = catalog.jobs.get(job.id)
        if name in {"cancel", "retry"}:
            getattr(catalog.jobs, name)(job.id)
            return
        arguments = {"fail": {"failure": FAILURE, "retry_in_s": 5}}.get(name, {})
        was_held = getattr(catalog.jobs, name)(job, **arguments)
        assert was_held == (row.state == "running" and row.lease == job.lease)
