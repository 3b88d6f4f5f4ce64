"""Memory that models need, beside what a machine has."""

from pathlib import Path

import pytest

from app.schemas.models import CheckpointItem, ModelMachine
from app.services.model_fit import judge_fit, needed_bytes
from app.services.models import show_models
from tests.app.services.conftest import open_library
from tests.app.services.test_library_query import Some

GB = 1e9


@pytest.mark.parametrize(
    ("on_cpu", "least_gb", "most_gb"),
    [(False, 23, 24.5), (True, 39, 41)],
)
def test_needs_of_a_7b_model_are_those_of_the_table(
    on_cpu: bool, least_gb: float, most_gb: float
) -> None:
    """README and docs/models.md: 24 GB of a GPU, 40 GB of memory on a CPU."""
    needed = needed_bytes(16_800_000_000, parameters="8.4B", on_cpu=on_cpu)
    assert least_gb * GB <= needed <= most_gb * GB


def test_files_in_32_bits_are_not_counted_twice() -> None:
    small = needed_bytes(1_040_000_000, parameters="0.26B", on_cpu=True)
    assert small == needed_bytes(520_000_000, parameters=None, on_cpu=True)


def test_what_is_not_known_is_not_judged() -> None:
    machine = ModelMachine(device="cpu", memory_bytes=8_000_000_000)
    item = CheckpointItem(name="a/b", family="c")
    assert judge_fit(item, machine) == item
    large = judge_fit(item.model_copy(update={"weight_bytes": 14_000_000_000}), machine)
    assert large.fits is False
    assert judge_fit(large.model_copy(update={"weight_bytes": 10_000_000}), machine).fits


def test_overview_names_what_looks_at_footage(tmp_path: Path, checkpoint: Path) -> None:
    context = open_library(tmp_path / "home", checkpoint, sight__observers=("speech",))
    overview = show_models(context)
    assert overview.active.ready
    eyes = {eye.name: eye for eye in overview.eyes}
    assert eyes["speech"].states.startswith("Speech in sentences")
    assert all(eye.states for eye in overview.eyes)
    nano = next(item for item in overview.models if item.name == "nano")
    assert nano.where is not None
    assert nano.fits
    shown = show_models(context, Some())
    context.close()
    assert all(item.where is None or "/" not in item.where for item in shown.models)
