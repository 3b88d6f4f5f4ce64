from pathlib import Path

import pytest
import torch

from engine.models.video_xl.model import load
from engine.training.nano.run import run_nano
from engine.training.recipes import nano_smoke
from tests.support.short_training import TINY_NANO


def test_a_run_ends_in_a_folder_that_loads_and_repeats_exactly(tmp_path: Path) -> None:
    last = list(run_nano(TINY_NANO, tmp_path / "one", resume=False))[-1]
    assert last.note == str(tmp_path / "one" / "model")
    model = load(Path(last.note), torch.device("cpu"), torch.float32)
    assert model.card.chunk_frames == 8
    assert model.card.tokens_per_frame == 4
    assert float(model.embed_text("a red star card").norm()) == pytest.approx(1, abs=1e-3)
    weights = (tmp_path / "one" / "model" / "model.safetensors").read_bytes()
    list(run_nano(TINY_NANO, tmp_path / "one", resume=True))
    assert (tmp_path / "one" / "model" / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_the_smoke_recipe_reaches_its_score(tmp_path: Path) -> None:
    scores: dict[str, float] = {}
    for line in nano_smoke.run(tmp_path, resume=False):
        scores.update(line.scores)
    for name, least in nano_smoke.EXPECTED.items():
        assert scores[name] >= least
