"""Whether a plan fits: plans as people write them, sums, and rates that are really measured."""

from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.schemas.capacity import CapacityPlan, CapacityRates
from app.services.capacity import CapacityPlanner, Machine, judge, parse_plan
from engine.errors import InputRefusedError
from engine.models.video_xl.model import RELEASES

CARD = RELEASES[0].card
DAY_S = 86_400
RATES = CapacityRates(
    device="cuda",
    model="video_xl/7b",
    frames_per_s=100.0,
    frames_per_s_one_video=100.0,
    latent_bytes_per_day=CARD.bytes_per_hour(1.0) * 24,
    still_bytes_per_day=500_000_000,
    measured_s=20.0,
)
MACHINE = Machine(
    cores=16,
    device="cuda",
    device_bytes=55 << 30,
    host_bytes=64 << 30,
    memory_bytes=256 << 30,
    disk_bytes=60 << 40,
)


@pytest.mark.parametrize(
    ("text", "cameras", "fps", "days"),
    [
        ("16 cameras, 1 fps, 30 days", 16, 1.0, 30.0),
        ("1 camera", 1, 1.0, 30.0),
        ("0.5 fps,2 weeks", 1, 0.5, 14.0),
        ("12 hours, 3 cameras", 3, 1.0, 0.5),
    ],
)
def test_plans_are_read_as_people_write_them(
    text: str, cameras: int, fps: float, days: float
) -> None:
    assert parse_plan(text) == CapacityPlan(cameras=cameras, fps=fps, days=days)


@pytest.mark.parametrize(
    "text", ["", "banana", "16", "0 cameras", "2.5 cameras", "3 days, 2 weeks", "-1 fps", "1 fps,"]
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(InputRefusedError):
        parse_plan(text)


def test_needs_are_sums_of_the_rates() -> None:
    plan = parse_plan("16 cameras, 1 fps, 30 days")
    response = judge(plan, RATES, MACHINE, CARD)
    needs = {need.name: need for need in response.needs}
    assert needs["frames a second"].needed == 16
    assert needs["frames a second"].fits
    n_vectors = 16 * 30 * DAY_S
    assert needs["codes of vectors in memory"].needed == n_vectors * (768 // 8 + 24)
    days = 16 * 30
    expected = days * (RATES.latent_bytes_per_day + RATES.still_bytes_per_day)
    assert needs["disk"].needed == expected + n_vectors * 768 * 4
    assert needs["disk"].fits
    assert response.fits


def test_each_thing_that_does_not_fit_has_a_change() -> None:
    small = Machine(
        cores=2,
        device="cpu",
        device_bytes=0,
        host_bytes=1 << 30,
        memory_bytes=8 << 30,
        disk_bytes=1 << 40,
    )
    response = judge(parse_plan("200 cameras, 1 fps, 30 days"), RATES, small, CARD)
    assert not response.fits
    assert [need.fits for need in response.needs] == [False, False, False, True]
    words = " ".join(response.changes)
    for change in ("sampling.fps", "retention.days", "stream.latent_format", "add memory"):
        assert change in words


def test_rates_are_measured_on_this_machine(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home")
    planner = CapacityPlanner()
    response = planner.plan(settings, "1 camera, 1 fps, 1 hour", minutes=1)
    assert response.rates.frames_per_s > 1
    assert response.rates.model.startswith("video_xl/")
    assert response.rates.latent_bytes_per_day > 0
    assert response.rates.still_bytes_per_day > 0
    assert response.fits
    # The library that would hold the plan is not touched.
    assert not (tmp_path / "home").exists()
    # Of more cameras at the same pace the sums are others, and the rates those that were measured.
    more = planner.plan(settings, "3 cameras, 1 fps, 1 hour", minutes=1)
    assert more.rates == response.rates
    assert more.needs[0].needed == 3


def test_plan_that_is_too_large_says_how_many_machines_it_takes() -> None:
    response = judge(parse_plan("1000 cameras, 1 fps, 30 days"), RATES, MACHINE, CARD)
    fleet = response.fleet
    assert fleet is not None
    # A machine reads 100 frames a second, a fifth of which stays free.
    assert fleet.machines_for_frames == 13
    code_bytes = 1000 * 30 * DAY_S * (CARD.vector_dim // 8 + 24)
    assert fleet.machines_for_codes == -(-code_bytes // (128 << 30))
    assert fleet.machines == max(fleet.machines_for_frames, fleet.machines_for_codes)
    assert fleet.store_bytes == pytest.approx(
        30_000 * (RATES.latent_bytes_per_day + RATES.still_bytes_per_day)
    )
    # Two a chunk, a heartbeat every two seconds and a file a minute.
    chunks_per_s = 1000 / CARD.chunk_frames
    assert fleet.database_writes_per_s == pytest.approx(2 * chunks_per_s + 500 + 1000 / 60)
    assert response.changes[-1].startswith(f"or take {fleet.machines} machines like this one")


def test_plan_that_fits_needs_no_other_machine() -> None:
    response = judge(parse_plan("1 camera, 1 fps, 1 day"), RATES, MACHINE, CARD)
    assert response.fits
    assert response.fleet is None
    assert response.changes == []
