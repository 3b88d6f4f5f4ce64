"""What several servers of one library share: leases, failed sign-ins, nodes, values."""

import threading

import pytest

from engine.records import VideoId
from storage.catalog import Catalog
from tests.storage.conftest import Clock

KEYS = (("ada", "10.0.0.1"), ("", "10.0.0.1"))


def test_lease_is_one_owners_until_it_runs_out(catalog: Catalog, clock: Clock) -> None:
    assert catalog.leases.take("retention", "a", lease_s=10)
    assert not catalog.leases.take("retention", "b", lease_s=10)
    clock.advance(8)
    assert catalog.leases.take("retention", "a", lease_s=10)
    clock.advance(8)
    assert not catalog.leases.take("retention", "b", lease_s=10)
    clock.advance(3)
    assert catalog.leases.take("retention", "b", lease_s=10)
    catalog.leases.release("retention", "a")
    assert not catalog.leases.take("retention", "a", lease_s=10)
    catalog.leases.release("retention", "b")
    assert catalog.leases.take("retention", "a", lease_s=10)


def test_of_many_that_want_a_lease_at_once_one_gets_it(catalog: Catalog) -> None:
    barrier, taken = threading.Barrier(6), []

    def want(owner: str) -> None:
        barrier.wait()
        if catalog.leases.take("upload", owner, lease_s=60):
            taken.append(owner)

    threads = [threading.Thread(target=want, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_failures_are_counted_together_and_forgotten_together(catalog: Catalog) -> None:
    for at in (1.0, 2.0):
        with catalog.sign_in_failures.changing(KEYS, forget_before=0.0, most=10) as failures:
            for failure in failures.values():
                failure.count, failure.last_at, failure.retry_at = failure.count + 1, at, at + 5
    with catalog.sign_in_failures.changing(KEYS, forget_before=0.0, most=10) as failures:
        assert [failure.count for failure in failures.values()] == [2, 2]
        failures[KEYS[0]].count = 0
        failures[KEYS[0]].last_at = 0.0
    with catalog.sign_in_failures.changing(KEYS, forget_before=0.5, most=10) as failures:
        assert [failures[key].count for key in KEYS] == [0, 2]
    with catalog.sign_in_failures.changing(KEYS, forget_before=2.0, most=10) as failures:
        assert [failures[key].count for key in KEYS] == [0, 0]


def test_refused_attempt_counts_nothing(catalog: Catalog) -> None:
    changing = catalog.sign_in_failures.changing
    with (
        pytest.raises(ZeroDivisionError),
        changing(KEYS, forget_before=0.0, most=10) as failures,
    ):
        failures[KEYS[0]].count = 1 // 0
    with changing(KEYS, forget_before=0.0, most=10) as failures:
        assert failures[KEYS[0]].count == 0


def test_no_more_keys_are_kept_than_asked(catalog: Catalog) -> None:
    for number in range(5):
        key = (f"name{number}", "10.0.0.1")
        with catalog.sign_in_failures.changing([key], forget_before=0.0, most=3) as failures:
            failures[key].count, failures[key].last_at = 1, number + 1.0
    counts = []
    for number in range(5):
        key = (f"name{number}", "10.0.0.1")
        with catalog.sign_in_failures.changing([key], forget_before=0.0, most=9) as failures:
            counts.append(failures[key].count)
    assert counts == [0, 0, 1, 1, 1]


def test_node_is_alive_while_it_beats(catalog: Catalog, clock: Clock) -> None:
    gate, yard = VideoId("gate"), VideoId("yard")
    catalog.nodes.register("a", "http://a:7860", [gate])
    catalog.nodes.register("b", "http://b:7860", [])
    catalog.nodes.register("b", "http://b:7860", [yard, gate])
    clock.advance(20)
    catalog.nodes.beat("b")
    alive = catalog.nodes.alive(silent_s=15)
    assert [(node.name, node.videos) for node in alive] == [("b", frozenset({gate, yard}))]
    catalog.nodes.forget(silent_s=15)
    assert [node.name for node in catalog.nodes.alive(silent_s=900)] == ["b"]
    catalog.nodes.remove("b")
    assert catalog.nodes.alive(silent_s=900) == ()


def test_value_is_that_of_who_came_first_and_changes_are_seen_once(catalog: Catalog) -> None:
    assert catalog.values.get("key") is None
    assert catalog.values.claim("key", "first") == "first"
    assert catalog.values.claim("key", "second") == "first"
    revision, _ = catalog.values.since(0)
    newest = catalog.values.put({"retention.days": 30, "model": None})
    assert catalog.values.since(revision) == (newest, {"retention.days": 30, "model": None})
    catalog.values.put({"retention.days": 7})
    assert catalog.values.since(newest)[1] == {"retention.days": 7}
