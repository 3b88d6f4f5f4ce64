"""Jobs without an end are divided evenly among the workers that are there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.worker.shares import WorkerShare
from storage.catalog import Catalog, open_catalog
from storage.records import JobRow


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with open_catalog(f"sqlite:///{tmp_path / 'longwatch.db'}") as opened:
        yield opened


def share(catalog: Catalog, name: str, places: int = 8, settled_s: float = 0.0) -> WorkerShare:
    return WorkerShare(catalog, "film", name, places=places, silent_s=600, settled_s=settled_s)


def take(catalog: Catalog, shares: dict[str, WorkerShare]) -> list[str]:
    """Let workers look in turn until none takes another; who took what, in that order."""
    taken: list[str] = []
    while True:
        before = len(taken)
        for name, of_worker in shares.items():
            if of_worker.may_take(catalog.jobs.list("running")):
                job = catalog.jobs.claim(name, ["film"], lease_s=600)
                taken += [] if job is None else [name]
        if len(taken) == before:
            return taken


def jobs(catalog: Catalog, count: int) -> None:
    for _ in range(count):
        catalog.jobs.add("film", {})


def held(catalog: Catalog, name: str) -> list[JobRow]:
    return [job for job in catalog.jobs.list("running") if job.worker == name]


def test_a_worker_that_is_alone_takes_all(catalog: Catalog) -> None:
    jobs(catalog, 3)
    assert take(catalog, {"a": share(catalog, "a")}) == ["a", "a", "a"]


def test_ten_cameras_among_three_workers(catalog: Catalog) -> None:
    shares = {name: share(catalog, name) for name in "abc"}
    for of_worker in shares.values():
        of_worker.may_take([])
    jobs(catalog, 10)
    taken = take(catalog, shares)
    assert sorted(map(taken.count, "abc")) == [3, 3, 4]


def test_a_worker_that_is_full_keeps_nobody_waiting(catalog: Catalog) -> None:
    shares = {"a": share(catalog, "a", places=1), "b": share(catalog, "b")}
    shares["a"].may_take([])
    jobs(catalog, 1)
    assert catalog.jobs.claim("a", ["film"], lease_s=600) is not None
    jobs(catalog, 4)
    assert take(catalog, {"b": shares["b"]}) == ["b"] * 4


def test_one_that_left_counts_for_nothing(catalog: Catalog) -> None:
    other = share(catalog, "b")
    other.may_take([])
    jobs(catalog, 2)
    mine = {"a": share(catalog, "a")}
    assert take(catalog, mine) == ["a"]
    other.leave()
    assert take(catalog, mine) == ["a"]


def test_one_that_comes_later_is_handed_its_share(catalog: Catalog) -> None:
    jobs(catalog, 4)
    shares = {"a": share(catalog, "a")}
    assert take(catalog, shares) == ["a"] * 4
    assert shares["a"].surplus() is None
    shares["b"] = share(catalog, "b")
    shares["b"].may_take([])
    while (surplus := shares["a"].surplus()) is not None:
        catalog.jobs.release(catalog.jobs.get(surplus))
        # Before it is taken nothing more is handed over, and not by the one that has fewer.
        assert shares["a"].surplus() is None
        assert shares["b"].surplus() is None
        assert take(catalog, shares) == ["b"]
    assert (len(held(catalog, "a")), len(held(catalog, "b"))) == (2, 2)


def test_nothing_is_handed_to_one_that_came_just_now(catalog: Catalog) -> None:
    jobs(catalog, 4)
    mine = share(catalog, "a", settled_s=0.0)
    take(catalog, {"a": mine})
    share(catalog, "b").may_take([])
    slow = share(catalog, "a", settled_s=3600.0)
    assert slow.surplus() is None
