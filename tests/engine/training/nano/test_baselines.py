from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from engine.errors import NotFoundError
from engine.training.loop import LoopConfig
from engine.training.nano.baselines import WEIGHTS, ArmStage, BaselinePlan, open_arm, run_baselines
from engine.training.nano.clip_stage import BatchSizes, TowerSizes
from engine.training.nano.decoder_stage import Features
from engine.training.nano.memories import MEMORIES
from engine.training.nano.run import NanoPlan, open_seen, run_nano

BRIEF = LoopConfig(n_steps=2, learning_rate=1e-3, save_every=2, log_every=1)
NANO = NanoPlan(
    tower_loop=BRIEF,
    reader_loop=BRIEF,
    tower=TowerSizes(width=32, n_layers=2, n_heads=2, text_width=32, text_layers=1, text_heads=2),
    tower_batch=BatchSizes(cards=8, frames=8, other=4),
    width=32,
    mlp_width=48,
    n_layers=2,
    n_clips=24,
    n_cards=32,
    n_real=8,
    n_junk=16,
    n_test=12,
    n_reels=4,
)
PLAN = BaselinePlan(nano=NANO, loop=BRIEF)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines") / "nano"
    list(run_nano(NANO, folder, resume=False))
    return folder


def open_stage(arm: str, nano: Path) -> ArmStage:
    seen = open_seen(nano, "test")
    return ArmStage(arm, NANO, seen, seen, Tokenizer.from_file(str(nano / "vocabulary.json")))


def test_all_arms_start_alike(nano: Path) -> None:
    first = open_stage("vst", nano)
    for arm in MEMORIES:
        other = open_stage(arm, nano)
        for name, weight in first.module.state_dict().items():
            assert torch.equal(weight, other.module.state_dict()[name]), name


def test_a_finished_arm_is_kept_and_an_open_one_goes_on(nano: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, arms=("pool", "uniform"))
    lines = list(run_baselines(plan, nano, tmp_path, resume=False))
    assert {line.stage for line in lines} == {"pool", "uniform"}
    weights = (tmp_path / "uniform" / WEIGHTS).read_bytes()
    (tmp_path / "uniform" / WEIGHTS).unlink()
    again = list(run_baselines(plan, nano, tmp_path, resume=True))
    assert {line.stage for line in again} == {"uniform"}
    assert (tmp_path / "uniform" / WEIGHTS).read_bytes() == weights
    stage = open_arm("uniform", plan, nano, tmp_path)
    assert stage.name == "uniform"
    with pytest.raises(NotFoundError, match="no trained arm 'vst'"):
        open_arm("vst", plan, nano, tmp_path)


def test_a_run_without_features_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train_features"):
        list(run_baselines(PLAN, tmp_path, tmp_path / "out", resume=False))


def test_every_arm_draws_the_same_steps(nano: Path) -> None:
    asked: dict[str, list[str]] = {}

    class Listening(ArmStage):
        def _read(self, folded, sink, picked, per_video, quizzes):  # type: ignore[no-untyped-def]
            asked[self.name] = [each.text for quiz in quizzes for each in quiz]
            return super()._read(folded, sink, picked, per_video, quizzes)

    seen: Features = open_seen(nano, "train")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    for arm in MEMORIES:
        Listening(arm, NANO, seen, seen, tokenizer).loss(50, 100).backward()  # type: ignore[no-untyped-call]
    assert len({tuple(texts) for texts in asked.values()}) == 1
