from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from engine.errors import NotFoundError
from engine.training.nano.baselines import WEIGHTS, BaselinePlan, VariantStage, run_baselines
from engine.training.nano.decoder_stage import Features
from engine.training.nano.keep_strategies import KEEP_STRATEGIES
from engine.training.nano.run import open_features
from tests.bench.baseline_probe import open_variant
from tests.support.short_training import TINY_LOOP, TINY_NANO

PLAN = BaselinePlan(nano=TINY_NANO, loop=TINY_LOOP)


def open_stage(variant: str, nano: Path) -> VariantStage:
    features = open_features(nano, "test")
    return VariantStage(
        variant, TINY_NANO, features, features, Tokenizer.from_file(str(nano / "vocabulary.json"))
    )


def test_all_variants_start_from_the_same_weights(nano: Path) -> None:
    first = open_stage("vst", nano)
    for variant in KEEP_STRATEGIES:
        other = open_stage(variant, nano)
        for name, weight in first.module.state_dict().items():
            assert torch.equal(weight, other.module.state_dict()[name]), name


def test_a_finished_variant_is_kept_and_an_open_one_goes_on(nano: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, variants=("pool", "uniform"))
    lines = list(run_baselines(plan, nano, tmp_path, resume=False))
    assert {line.stage for line in lines} == {"pool", "uniform"}
    weights = (tmp_path / "uniform" / WEIGHTS).read_bytes()
    (tmp_path / "uniform" / WEIGHTS).unlink()
    again = list(run_baselines(plan, nano, tmp_path, resume=True))
    assert {line.stage for line in again} == {"uniform"}
    assert (tmp_path / "uniform" / WEIGHTS).read_bytes() == weights
    stage = open_variant("uniform", plan, nano, tmp_path)
    assert stage.name == "uniform"
    with pytest.raises(NotFoundError, match="no trained variant 'vst'"):
        open_variant("vst", plan, nano, tmp_path)


def test_a_run_without_features_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train_features"):
        list(run_baselines(PLAN, tmp_path, tmp_path / "out", resume=False))


def test_every_variant_draws_the_same_steps(nano: Path) -> None:
    texts: dict[str, list[str]] = {}

    class Listening(VariantStage):
        def _run_questions(self, compressed, sink, picked, per_video, contexts):  # type: ignore[no-untyped-def]
            texts[self.name] = [pair.text for pairs in contexts for pair in pairs]
            return super()._run_questions(compressed, sink, picked, per_video, contexts)

    features: Features = open_features(nano, "train")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    for variant in KEEP_STRATEGIES:
        Listening(variant, TINY_NANO, features, features, tokenizer).loss(50, 100).backward()  # type: ignore[no-untyped-call]
    assert len({tuple(questions) for questions in texts.values()}) == 1
