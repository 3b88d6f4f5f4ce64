from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from engine.errors import NotFoundError
from engine.training.baselines import (
    ARMS,
    WEIGHTS,
    ArmStage,
    BaselinePlan,
    open_arm,
    pool,
    run_baselines,
    sampled,
)
from engine.training.chunks import draw_chunk
from engine.training.fold_batch import run_prefix
from engine.training.loop import LoopConfig
from engine.training.nano_run import NanoPlan, open_seen, run_nano
from engine.training.reader_stage import CHUNK_TOKENS, Seen
from engine.training.tower_stage import BatchSizes, TowerSizes

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
RATIOS = (2, 4, 8, 16)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines") / "nano"
    list(run_nano(NANO, folder, resume=False))
    return folder


def open_stage(arm: str, nano: Path) -> ArmStage:
    seen = open_seen(nano, "test")
    return ArmStage(arm, NANO, seen, seen, Tokenizer.from_file(str(nano / "vocabulary.json")))


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_pooled_row_is_the_mean_of_what_a_vst_in_its_place_summarises(ratio: int) -> None:
    tokens = torch.randn(2, 3, CHUNK_TOKENS, 5)
    slow = torch.stack([part.mean(2) for part in tokens.split(ratio, 2)], 2)
    torch.testing.assert_close(pool(tokens, ratio), slow)


def test_sampled_frames_are_whole_and_lie_in_the_middle_of_equal_parts() -> None:
    assert sampled(8).tolist() == [16, 17, 18, 19]
    assert sampled(4).tolist() == [8, 9, 10, 11, 24, 25, 26, 27]
    assert sampled(16).tolist() == sampled(8).tolist()
    assert ARMS["uniform"].part(8) == slice(0, None, 1)
    assert list(range(8))[ARMS["uniform"].part(16)] == [1, 3, 5, 7]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_keeps_its_budget_and_names_every_row(arm: str, nano: Path) -> None:
    stage = open_stage(arm, nano)
    decoder, kept = stage.module.decoder, ARMS[arm]
    sink = run_prefix(decoder, torch.randn(3, NANO.width))
    rng = np.random.default_rng(0)
    chunks = [draw_chunk(rng, stage.held_out.facts, real=0.2, cards=1.0) for _ in range(4)]
    for ratio in RATIOS:
        part = kept.part(ratio)
        tokens = torch.randn(1, 4, CHUNK_TOKENS, NANO.width)[:, part]
        folded = kept.keep(decoder, tokens, sink, ratio, 8)
        assert folded.kv[0][0].shape[2] == 4 * 8 * kept.budget(ratio)
        labels = kept.labels(chunks[part], stage.held_out.facts, ratio)
        assert labels.shape[:2] == folded.middle.shape[1:3]
        assert (labels >= 0).any()


def test_uniform_sampling_never_sees_the_frames_between(nano: Path) -> None:
    decoder = open_stage("uniform", nano).module.decoder
    sink = run_prefix(decoder, torch.randn(3, NANO.width))
    tokens = torch.randn(1, 2, CHUNK_TOKENS, NANO.width)
    other = torch.randn_like(tokens)
    other[:, :, sampled(8)] = tokens[:, :, sampled(8)]
    for one, two in zip(
        ARMS["uniform"].keep(decoder, tokens, sink, 8, 8).kv,
        ARMS["uniform"].keep(decoder, other, sink, 8, 8).kv,
        strict=True,
    ):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_all_arms_start_alike(nano: Path) -> None:
    first = open_stage("vst", nano)
    for arm in ARMS:
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

    seen: Seen = open_seen(nano, "train")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    for arm in ARMS:
        Listening(arm, NANO, seen, seen, tokenizer).loss(50, 100).backward()  # type: ignore[no-untyped-call]
    assert len({tuple(texts) for texts in asked.values()}) == 1
