"""The arithmetic of thousands of cameras: sums that one can check by hand, and a simulated stop."""

import json

import pytest

from tests.bench.many_cameras import (
    FILE,
    Assumed,
    Constants,
    Rates,
    first_to_break,
    plan,
    simulate,
)

KNOWN = Constants(
    frames_per_core_s=50.0,
    latent_bytes_per_day=1e9,
    still_bytes_per_day=2e9,
    chunk_frames=10,
    vector_dim=128,
    commit_core_ms=2.0,
    beat_core_ms=1.0,
    chunk_row_bytes=300.0,
    vector_row_bytes=300.0,
    vector_index_bytes=700.0,
    observe_cores=0.5,
)
ASSUMED = Assumed(
    camera_mbps=8.0, store_gb_month=0.02, core_hour=0.05, database_cores=4, store_puts_per_s=1000.0
)


def test_sums_are_those_of_a_pocket_calculator() -> None:
    amounts = {line.what: line.amount for line in plan(1000, 30.0, 1.0, KNOWN, ASSUMED)}
    # 1 MB a second of 86,400 seconds, 1,000 cameras, 30 days.
    assert amounts["recordings (assumed bitrate)"] == "2.6 PB"
    assert amounts["latents"] == "30.0 TB"
    assert amounts["stills"] == "60.0 TB"
    assert amounts["vectors"] == "2,592,000,000 in 260 shards"
    assert amounts["cores that read"] == "20"
    assert amounts["cores that observe everything"] == "500"
    assert amounts["transactions a second"] == "100 chunks, 500 heartbeats, 17 files"


def test_what_breaks_first_breaks_at_the_number_that_is_named() -> None:
    limits = dict(first_to_break(KNOWN, 1.0, ASSUMED))
    n = limits["transactions of one database"]
    assert Rates.of(n, 1.0, KNOWN).database_cores(KNOWN) <= ASSUMED.database_cores
    assert Rates.of(n + 1, 1.0, KNOWN).database_cores(KNOWN) > ASSUMED.database_cores
    assert [*limits.values()] == sorted(limits.values())


def test_stop_shorter_than_a_lease_loses_none_and_a_longer_one_all() -> None:
    short = simulate(50, 1.0, KNOWN, cores=2, stop_s=20.0, most_s=60.0)
    assert short.leases_lost == 0
    assert short.most_waiting == pytest.approx(100, abs=2)
    assert simulate(50, 1.0, KNOWN, cores=2, stop_s=40.0, most_s=60.0).leases_lost == 50


def test_overload_never_calms() -> None:
    busy = simulate(6000, 1.0, KNOWN, cores=1, stop_s=5.0, most_s=40.0)
    assert busy.calm_after_s == float("inf")


def test_kept_constants_are_those_that_the_command_reads() -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert Constants(**kept["constants"]).frames_per_core_s > 0
    assert kept["command"].startswith("python -m tests.bench.many_cameras")
