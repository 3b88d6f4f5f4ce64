from pathlib import Path

import pytest

from engine.training.nano.baselines import VARIANT_KINDS
from tests.bench.baseline_probe import NeedleConfig, probe_kinds, probe_needles
from tests.engine.training.conftest import nano as nano
from tests.engine.training.nano.test_baselines import open_stage

CONFIG = NeedleConfig(lengths=(16, 32), depths=(0.0, 1.0), n_needles=3)


@pytest.mark.parametrize("variant", ["vst", "uniform"])
def test_every_cell_asks_three_questions_of_every_needle(variant: str, nano: Path) -> None:
    stage = open_stage(variant, nano)
    cells = list(probe_needles(stage, 16, CONFIG))
    assert [(cell.length_frames, cell.depth) for cell in cells] == [
        (16, 0.0), (16, 1.0), (32, 0.0), (32, 1.0),
    ]  # fmt: skip
    for cell in cells:
        assert cell.n == 9
        assert cell.right == sum(cell.right_by_kind.values()) <= cell.n
    assert cells == list(probe_needles(stage, 16, CONFIG))


def test_kinds_are_those_of_the_training(nano: Path) -> None:
    counts = probe_kinds(open_stage("pool", nano), 8, length_frames=32, n_videos=4)
    assert set(counts) <= set(VARIANT_KINDS)
    assert counts["exist"][1] == 8


def test_a_length_that_is_no_whole_number_of_chunks_is_refused() -> None:
    with pytest.raises(ValueError, match="whole chunks"):
        NeedleConfig(lengths=(60,))
    with pytest.raises(ValueError, match="needle_frames"):
        NeedleConfig(needle_frames=9)
