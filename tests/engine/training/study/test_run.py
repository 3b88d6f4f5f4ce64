"""A tiny study from nothing to its records."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from engine.errors import InputRefusedError
from engine.training.loop import LoopConfig, run_stage
from engine.training.nano.chunks import draw_chunk
from engine.training.nano.run import open_features
from engine.training.nano.summary import summary_labels
from engine.training.study.plan import BankSpec, parse_plan
from engine.training.study.run import read_records, run_study
from engine.training.study.variant import StudyStage
from tests.support.study_plan import PLAN

PLAN_READ = parse_plan(PLAN)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "run"
    list(run_study(PLAN_READ, folder))
    return folder


def test_every_variant_has_a_record_of_the_same_questions(output: Path) -> None:
    records = read_records(PLAN_READ, output)
    assert list(records) == [variant.name for variant in PLAN_READ.variants()]
    counted = {tuple((n, tokens) for n, _, tokens, _ in record["contexts"])
               for record in records.values()}  # fmt: skip
    # As many questions and tokens of answers in each context, whatever the variant.
    assert len(counted) == 1
    assert all(len(record["contexts"]) == 16 for record in records.values())
    first, second = (records[f"small-only-1-0.5-even-joint-{seed}"] for seed in (0, 1))
    assert first["contexts"] != second["contexts"]


def test_a_study_that_goes_on_makes_what_is_missing_and_nothing_else(output: Path) -> None:
    name = "large-only-1-0.5-even-two-0"
    path = output / "variants" / name / "record.json"
    before = json.loads(path.read_text())
    path.unlink()
    stages = {line.stage for line in run_study(PLAN_READ, output) if line.note == "measured"}
    assert stages == {name}
    assert json.loads(path.read_text())["contexts"] == before["contexts"]


def test_a_changed_plan_is_not_mixed_with_old_records(output: Path) -> None:
    changed = replace(PLAN_READ, bank=BankSpec(clips=25, cards=32, test_clips=12))
    with pytest.raises(InputRefusedError, match="other settings"):
        list(run_study(changed, output))


def test_a_sampled_frame_stands_for_those_up_to_the_next(nano: Path) -> None:
    variant = next(PLAN_READ.variants())
    features = open_features(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    sparse = replace(variant, choices={**variant.choices, "frame_every_s": 4})
    every, fourth = (
        StudyStage(chosen, PLAN_READ, features, features, tokenizer) for chosen in (variant, sparse)
    )
    rng = np.random.default_rng(0)
    chunks = [draw_chunk(rng, features.facts, real=0.0, cards=1.0) for _ in range(3)]
    with torch.no_grad():
        whole, held = (
            stage._visual_tokens(features, chunks, np.random.default_rng(1)).view(3, 8, 4, -1)
            for stage in (every, fourth)
        )
    for frame in range(8):
        assert torch.equal(held[:, frame], whole[:, frame // 4 * 4])
    labels = summary_labels(chunks, features.facts, 4, frame_every=4)
    assert torch.equal(labels[:, 3], summary_labels(chunks, features.facts, 4)[:, 0])


def test_a_projector_schedule_leaves_the_decoder_alone(nano: Path, tmp_path: Path) -> None:
    features = open_features(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    stage = StudyStage(next(PLAN_READ.variants()), PLAN_READ, features, features, tokenizer)
    before = {name: weight.clone() for name, weight in stage.module.state_dict().items()}
    stage.learn("projector")
    loop = LoopConfig(n_steps=1, learning_rate=1e-3, warmup_steps=1)
    list(run_stage(stage, loop, tmp_path, resume=False))
    moved = {
        name.split(".")[0]
        for name, weight in stage.module.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert moved == {"inner", "outer", "early"}
