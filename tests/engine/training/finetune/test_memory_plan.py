"""The memory plan of a stage, against what a real step of a tiny one was seen to hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import profile

from engine.evaluation.bench._released import RELEASED
from engine.models.layers.weights import write_json
from engine.models.video_xl.model import write_tiny
from engine.models.video_xl.net import VideoXlConfig, load_net
from engine.training.finetune.memory_plan import plan_memory
from engine.training.finetune.stage_config import select_parts
from engine.training.finetune.step_memory import LABELLED_TOKENS, TEXT_TOKENS
from engine.training.finetune.video_xl import SequencePart, sequence_loss
from engine.training.finetune.video_xl_trainer import VideoXlTuning, adjust_stage, named_parts
from engine.training.recipes.video_xl import STAGES

MIXED = STAGES[2]
LOW_RANK = {"rank": 4, "alpha": 8}
IN_4_BITS = LOW_RANK | {"base": "nf4"}


def settings(folder: Path, **values: Any) -> VideoXlTuning:
    fixed = {"max_frames": 4, "bf16": False, "train_tower": False, "samples_per_step": 1}
    return VideoXlTuning(model=folder, data=(), **{**fixed, **values})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plan") / "tiny"
    write_tiny(made)
    return made


def held_bytes(config: VideoXlTuning) -> tuple[int, int, int]:
    """Weights, gradients, and the peak beyond them of a real step on the CPU."""
    stage = adjust_stage(MIXED, config)
    net = load_net(config.model, torch.device("cpu"), torch.float32)
    root = named_parts(net, config.low_rank, seed=0)
    module, _ = select_parts(root, stage)
    module.train()
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in learning:
        weight.grad = torch.zeros_like(weight)
    vision = net.config.vision
    assert vision is not None
    assert net.tower is not None
    assert net.projector is not None
    pixels = torch.zeros(config.max_frames or 0, 3, 32, 32)
    labels = [-100] * (TEXT_TOKENS - LABELLED_TOKENS) + [1] * LABELLED_TOKENS
    with profile(profile_memory=True) as seen:
        with torch.no_grad():
            features, _ = net.tower.run(pixels, vision.select_layer, with_vectors=False)
        visual = net.projector(features).flatten(0, 1)
        text = net.decoder.embed(torch.zeros(TEXT_TOKENS, dtype=torch.int64))
        loss = sequence_loss(
            net.decoder,
            [SequencePart(visual, None), SequencePart(text, labels)],
            window=net.config.chunk_tokens,
            ratio_of=lambda _: min(stage.ratios),
            gradient_checkpointing=stage.gradient_checkpointing,
        )
        loss.backward()
    now = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    whole = {id(weight): weight for weight in root.parameters()}.values()
    return (
        sum(weight.nbytes for weight in whole),
        sum(weight.nbytes for weight in learning),
        peak,
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"gradient_checkpointing": False},
        {"lora": LOW_RANK},
        {"lora": IN_4_BITS},
        {"lora": IN_4_BITS, "gradient_checkpointing": False},
    ],
)
def test_a_plan_is_what_a_step_holds(folder: Path, values: dict[str, Any]) -> None:
    config = settings(folder, **values)
    plan = plan_memory(config, MIXED)
    weights, gradients, peak = held_bytes(config)
    assert (plan.weights_bytes, plan.gradients_bytes) == (weights, gradients)
    assert plan.optimiser_bytes == 2 * gradients
    assert plan.working_bytes == pytest.approx(max(peak, gradients), rel=0.1)


def test_what_saves_memory_shows_in_the_plan(folder: Path) -> None:
    plain = plan_memory(settings(folder, gradient_checkpointing=False), MIXED)
    again = plan_memory(settings(folder), MIXED)
    assert again.working_bytes < plain.working_bytes
    several = plan_memory(settings(folder, samples_per_step=4), MIXED)
    assert several.working_bytes > again.working_bytes
    adapted = plan_memory(settings(folder, lora=LOW_RANK), MIXED)
    assert adapted.n_learning < again.n_learning
    assert adapted.gradients_bytes < again.gradients_bytes
    assert adapted.adapters_bytes > 0
    small = plan_memory(settings(folder, lora=IN_4_BITS), MIXED)
    assert (small.n_parameters, small.n_learning) == (adapted.n_parameters, adapted.n_learning)
    assert small.weights_bytes < adapted.weights_bytes
    assert small.gradients_bytes == adapted.gradients_bytes


def test_a_decoder_with_adapters_stays_whatever_the_rate(folder: Path) -> None:
    for rate in (None, 1e-4):
        stage = adjust_stage(MIXED, settings(folder, lora=LOW_RANK, learning_rate=rate))
        assert "decoder." not in stage.rates
        assert "adapters." in stage.rates


def write_config(folder: Path, config: VideoXlConfig) -> None:
    """The config files of a checkpoint, and no weights."""
    write_tiny(folder)
    for path in folder.rglob("*.safetensors*"):
        path.unlink()
    vision = config.vision
    assert vision is not None
    written = json.loads((folder / "config.json").read_text())
    fields = config.decoder.to_json() | {
        "beacon_window": config.chunk_tokens,
        "beacon_stride": config.chunk_tokens,
        "beacon_ratio": list(config.compression_ratios),
    }
    write_json(folder / "config.json", written | fields)
    write_json(folder / "clip" / "config.json", vision.tower.to_json())
    write_json(folder / "clip" / "preprocessor_config.json", vision.pixels.to_json())


def test_a_released_size_needs_no_weights(tmp_path: Path) -> None:
    """Two of its layers, whose sums are exact: the whole takes a minute."""
    few = replace(RELEASED, decoder=replace(RELEASED.decoder, n_layers=2))
    write_config(tmp_path / "released", few)
    config = settings(tmp_path / "released", bf16=True, lora={"rank": 64, "alpha": 16})
    plan = plan_memory(config, MIXED)
    width, mlp, kv = 3584, 18_944, 512
    attention = 2 * width * width + 2 * width * kv
    # Frozen matrices in 16 bit: those of layers, two tables; the tower is small beside them.
    frozen = 2 * (2 * (attention + 3 * width * mlp) + 2 * 152_064 * width)
    pairs = (2 * (width + width) + 2 * (width + kv)) + 3 * (width + mlp)
    assert plan.adapters_bytes == 2 * 64 * 4 * pairs
    assert frozen < plan.weights_bytes - plan.adapters_bytes < 1.35 * frozen
    assert plan.n_tokens == 4 * 144 + TEXT_TOKENS
    in_4_bits = settings(
        tmp_path / "released", bf16=True, lora={"rank": 64, "alpha": 16, "base": "nf4"}
    )
    small = plan_memory(in_4_bits, MIXED)
    held = 2 * (attention + 3 * width * mlp)
    assert plan.weights_bytes - small.weights_bytes == pytest.approx((2 - 0.516) * held, rel=0.001)
