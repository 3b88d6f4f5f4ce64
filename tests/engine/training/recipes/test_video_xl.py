"""Video-XL's stages on the tiny variant: what moves, what is merged, what is read back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import InputRefusedError
from engine.models.layers.weights import keys_of
from engine.models.video_xl.model import load, write_tiny
from engine.models.video_xl.net import VideoXlNet, load_net, save_net
from engine.training.finetune.video_xl import VideoXlStage
from engine.training.loop import Progress
from engine.training.recipes import video_xl
from engine.training.recipes.video_xl import STAGES
from tests.support.short_training import moved, run_briefly, settings, write_data

CPU = torch.device("cpu")
PARTS = ("decoder.", "projector.", "tower.", "joint.")
BRIEF: dict[str, Any] = {"steps": 20, "learning_rate": 3e-3, "samples_per_step": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video_xl")
    write_tiny(folder / "base")
    write_data(folder, {"video": 2, "image": 2, "text": 2})
    return folder


def train(home: Path, name: str, *, resume: bool = False, **values: Any) -> list[Progress]:
    output = settings(home / name, video_xl.CONFIG, **(BRIEF | values))
    return list(video_xl.run(output, resume))


def net_of(folder: Path) -> VideoXlNet:
    return load_net(folder, CPU, torch.float32)


def changed(before: nn.Module, after: nn.Module) -> set[str]:
    old = dict(before.named_parameters())
    return {name for name, new in after.named_parameters() if not torch.equal(new, old[name])}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_moves_exactly_what_it_trains_and_its_loss_falls(
    home: Path, stage: VideoXlStage
) -> None:
    losses = run_briefly(video_xl, home / stage.name, stage.name)
    assert losses[-1] < losses[0]
    assert moved(net_of(home / "base"), net_of(home / stage.name / "model"), PARTS) == set(
        stage.rates
    )


def test_stages_are_those_of_the_release() -> None:
    table = {stage.name: (stage.learning_rate, stage.ratios, stage.epochs) for stage in STAGES}
    assert table == {
        "align": (5e-4, (), 1),
        "images": (1e-5, (2, 4, 8, 12, 16), 1),
        "mixed": (1e-5, (2, 4, 8), 3),
    }
    assert {(stage.warmup_share, stage.weight_decay) for stage in STAGES} == {(0.03, 0.0)}


def test_a_tower_that_learns_leaves_search_as_it_was(home: Path) -> None:
    whole = home / "joint"
    write_tiny(whole)
    net = net_of(whole)
    # As nano has it: one tower, with its text side, for both.
    net.tower, net.joint = net.joint, None
    for path in whole.glob("model*"):
        path.unlink()
    save_net(net, whole, variant="joint")
    train(home, "searching", stage="mixed", model="../joint")
    before, after = (
        load(whole, CPU, torch.float32),
        load(home / "searching" / "model", CPU, torch.float32),
    )
    assert torch.equal(before.embed_text("a dog"), after.embed_text("a dog"))
    assert after.net.tower is not after.net.joint
    pixels = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        old, new = before.net.visual_tokens(pixels), after.net.visual_tokens(pixels)
    torch.testing.assert_close(old[1], new[1])
    assert not torch.equal(old[0], new[0])


def test_adapters_are_merged_and_summary_tokens_learn_whole(home: Path) -> None:
    lora = {"rank": 4, "alpha": 16}
    progress = train(home, "lora", stage="mixed", lora=lora, train_tower=False)
    losses = [line.loss for line in progress if line.stage == "mixed" and line.step]
    assert losses[-1] < losses[0]
    names = changed(net_of(home / "base"), net_of(home / "lora" / "model"))
    projections = {"qkv.weight", "out.weight", "gate_up.weight", "down.weight"}
    for name in names:
        is_own = "vst" in name or name.startswith("projector.")
        assert is_own or any(name.endswith(suffix) for suffix in projections), name
    assert "decoder.vst_embed" in names
    assert "decoder.layers.0.attention.vst_qkv.weight" in names
    assert "decoder.layers.2.down.weight" in names
    assert load(home / "lora" / "model", CPU, torch.float32).card.variant == "lora"
    card = (home / "lora" / "model" / "README.md").read_text()
    assert "Trained from `base`, stage `mixed`, decoder adapters, merged: 20 steps" in card


def test_adapters_over_four_bits_learn_and_leave_a_checkpoint_as_released(home: Path) -> None:
    lora = {"rank": 4, "alpha": 16, "base": "nf4"}
    progress = train(home, "small", stage="mixed", lora=lora, train_tower=False)
    losses = [line.loss for line in progress if line.stage == "mixed" and line.step]
    assert losses[-1] < losses[0]
    base, model = net_of(home / "base"), home / "small" / "model"
    assert keys_of(model) == keys_of(home / "base")
    assert "decoder.layers.2.down.weight" in changed(base, net_of(model))
    # What moved is of the adapters' rank: nothing was rounded to 4 bits.
    moved_by = net_of(model).decoder.layers[1].down.weight - base.decoder.layers[1].down.weight
    assert int(torch.linalg.matrix_rank(moved_by, rtol=1e-4)) <= 4
    assert load(model, CPU, torch.float32).card.variant == "small"
    assert "decoder adapters over 4 bits, merged" in (model / "README.md").read_text()


def test_a_stopped_run_resumes_to_the_same_weights(home: Path) -> None:
    values = {"stage": "mixed", "steps": 9, "save_every": 3, "lora": {"rank": 2, "alpha": 4}}
    train(home, "whole", **values)
    output = settings(home / "stopped", video_xl.CONFIG, **(BRIEF | values))
    for line in video_xl.run(output, resume=False):
        if line.stage == "mixed" and line.step == 6:
            break
    list(video_xl.run(output, resume=True))
    whole, again = (net_of(home / name / "model").state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())


def test_checkpoints_and_bf16_are_options(home: Path) -> None:
    options = {
        "kept": {"gradient_checkpointing": False, "bf16": False},
        "again": {"gradient_checkpointing": True, "bf16": False},
        "rounded": {"gradient_checkpointing": True, "bf16": True},
    }
    last = {}
    for name, values in options.items():
        progress = train(home, name, stage="mixed", steps=3, **values)
        last[name] = progress[-1].scores, [line.loss for line in progress if line.step == 3]
    assert last["kept"] == last["again"]
    assert last["kept"] != last["rounded"]
    assert last["kept"][1] == pytest.approx(last["rounded"][1], rel=0.05)


def test_bad_samples_are_named_counted_and_survived(home: Path, tmp_path: Path) -> None:
    write_data(tmp_path, {"video": 1, "audio": 1, "text": 1})
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    turns = [{"from": "human", "value": "<video>\na"}, {"from": "gpt", "value": "b"}]
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"video": "broken.mp4", "conversations": turns}))
        file.write("\n{broken")
    progress = train(
        home, "bad", stage="align", steps=1, data=str(tmp_path / "data.jsonl"), media=str(tmp_path)
    )
    notes = [line.note for line in progress if line.stage == "data"]
    for location, reason in (
        ("line 2", "does not hear"),
        ("line 3", "nothing to see"),
        ("line 4", "broken.mp4"),
        ("line 5", "not JSON"),
    ):
        assert any(location in note and reason in note for note in notes), location
    assert sum(line.skipped for line in progress) == 4
    assert "4 samples skipped" in progress[-1].note


def test_a_share_of_text_that_is_not_advised_is_reported_once(home: Path) -> None:
    advice = [line.note for line in train(home, "much", stage="mixed", steps=1) if line.note]
    assert sum("of what is drawn" in note for note in advice) == 1
    assert "33.3%" in advice[0]
    aligned = train(home, "captions", stage="align", steps=1)
    assert not any("of what is drawn" in line.note for line in aligned)


def test_what_no_stage_can_learn_from_is_refused(home: Path, tmp_path: Path) -> None:
    write_data(tmp_path, {"text": 2})
    data = {"data": str(tmp_path / "data.jsonl"), "media": str(tmp_path)}
    with pytest.raises(InputRefusedError, match="nothing that 'align' can learn"):
        train(home, "blind", stage="align", **data)
    with pytest.raises(InputRefusedError, match="no stage 'third'; there are align, images"):
        train(home, "third", stage="third")
    with pytest.raises(InputRefusedError, match="base must be one of native, nf4"):
        train(home, "bits", stage="mixed", lora={"rank": 4, "alpha": 2, "base": "fp4"})
    with pytest.raises(InputRefusedError, match="lora does not fit"):
        train(home, "odd", stage="mixed", lora={"rank": 4, "alpha": 2, "beta": 1})
