from pathlib import Path

import pytest
import torch

from engine.models.video_xl.model import load
from engine.training.loop import LoopConfig
from engine.training.nano.clip_stage import BatchSizes, TowerSizes
from engine.training.nano.run import NanoPlan, run_nano
from engine.training.recipes import nano_smoke

PLAN = NanoPlan(
    tower_loop=LoopConfig(n_steps=2, learning_rate=1e-3, save_every=2, log_every=1),
    reader_loop=LoopConfig(n_steps=2, learning_rate=1e-3, save_every=2, log_every=1),
    tower=TowerSizes(width=32, n_layers=2, n_heads=2, text_width=32, text_layers=1, text_heads=2),
    tower_batch=BatchSizes(cards=8, frames=8, other=4),
    width=32,
    mlp_width=48,
    n_layers=2,
    n_clips=24,
    n_reels=6,
    n_chunks=16,
    n_cards=32,
    n_real=8,
    n_junk=16,
    n_test=12,
)


def test_a_run_ends_in_a_folder_that_loads_and_repeats_exactly(tmp_path: Path) -> None:
    last = list(run_nano(PLAN, tmp_path / "one", resume=False))[-1]
    assert last.note == str(tmp_path / "one" / "model")
    model = load(Path(last.note), torch.device("cpu"), torch.float32)
    assert model.card.chunk_frames == 8
    assert model.card.tokens_per_frame == 4
    assert float(model.embed_text("a red star card").norm()) == pytest.approx(1, abs=1e-3)
    weights = (tmp_path / "one" / "model" / "model.safetensors").read_bytes()
    list(run_nano(PLAN, tmp_path / "one", resume=True))
    assert (tmp_path / "one" / "model" / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_the_smoke_recipe_reaches_its_score(tmp_path: Path) -> None:
    scores: dict[str, float] = {}
    for line in nano_smoke.run(tmp_path, resume=False):
        scores.update(line.scores)
    for name, least in nano_smoke.EXPECTED.items():
        assert scores[name] >= least
