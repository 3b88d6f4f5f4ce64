"""PLLaVA's one stage: adapters and projector learn from video, tower and language model stay.

Command: write `runs/pllava/pllava.json`, then `longwatch train pllava`:

    {"model": "llava-next", "data": "videos.jsonl", "media": "videos",
     "steps": 6250, "samples_per_step": 128}

Optional: `learning_rate` (2e-5), `samples_per_step`, `held_out` (else a tenth of `data`), `rank`
(128), `sweep` (strengths), `device` ("auto"), `bf16` (where the device is built for it),
`gradient_checkpointing` (false; true computes the decoder's layers again in the backward pass, to
save memory). Paths are relative to the file. `model` is an image model or a PLLaVA;
adapters that it has are left out, training starts new ones. Leaves `model`, read back by
`models.pllava.model.load(alpha=...)`, and `alphas.json`, the held-out loss at each strength.

Source: arXiv:2404.16994 sections 3 and 4 and upstream's scripts at 6f49fd2: rank 128 on q and v,
alpha 32, dropout 0.05; AdamW 2e-5, weight decay 0.02, batch 128, 6250 steps of 783 K videos on 8
GPUs (their kind and hours are not stated), warm-up 0.03 as the paper has it (scripts: 0.2). The
sweep is its figure of alpha: long answers best near 4, multiple choice near 20.
Expect: run here only for a few steps on the tiny variant, by its tests. No score is known to us.

Differs from upstream, each on purpose: a batch is not sharded; the rate falls along a whole half
cosine to a quarter, upstream cuts its cosine off there; text is encoded piece by piece, so that
labels are known without searching for them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from engine.device import pick_device
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.net import build, load_net, read
from engine.training.data.samples import Sample
from engine.training.finetune.lora import RANK, TRAINED_ALPHA
from engine.training.finetune.pllava import longest_visual, measurable, named_parts, trainable
from engine.training.finetune.precision import holds_bf16, uses_bf16
from engine.training.finetune.settings import TuningConfig, find_stage, read_settings, read_split
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.step_memory import META, TrainingMemory, announce, plan_causal
from engine.training.finetune.trainer import TrainableModel, mean_loss, tune
from engine.training.loop import Progress

CONFIG = "pllava.json"
SWEEP = "alphas.json"
ALPHAS = (0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 32.0)
STAGES = (
    StageConfig(
        name="adapters",
        rates={"adapters.": 2e-5, "projector.": 2e-5},
        mixture={"video": 1.0},
        max_clips=1,
        batch=128,
        final_share=0.25,
        weight_decay=0.02,
        max_gradient_norm=float("inf"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PllavaTuning(TuningConfig):
    """The contents of `pllava.json`."""

    rank: int = RANK
    sweep: Sequence[float | int] = ALPHAS
    """Strengths to measure at the end."""


def plan(output: Path, n_processes: int = 1) -> TrainingMemory:
    """Count the memory of a stage on one device, without weights."""
    config = read_settings(output / CONFIG, PllavaTuning)
    stage = find_stage(STAGES, config)
    net = build(read(config.model), META, torch.float32)
    root = named_parts(net, rank=config.rank)
    return plan_causal(
        root,
        net.decoder,
        partial(longest_visual, net, stage),
        stage,
        config,
        max_tokens=net.config.decoder.max_positions,
        adapters=root["adapters"].parameters(),
        n_processes=n_processes,
    )


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, then measure every strength; the last line names the table."""
    config = read_settings(output / CONFIG, PllavaTuning)
    stage = find_stage(STAGES, config)
    yield from announce(config, partial(plan, output))
    yield from tune(partial(_open, config), stage, config, output, resume=resume)
    _, held_out = read_split(config)
    if held_out:
        yield sweep(output, held_out, config)


def _open(config: PllavaTuning, device: torch.device) -> TrainableModel:
    net = load_net(config.model, device, torch.float32, alpha=0.0)
    return trainable(net, Tokenizer.load(config.model), rank=config.rank)


def sweep(output: Path, held_out: Sequence[Sample], config: PllavaTuning) -> Progress:
    """Measure the held-out loss of `output/model` at each strength, and write it beside as JSON.

    Returns:
        A line of progress; `scores` has `held_out_loss@ALPHA`.
    """
    folder, losses = output / "model", {}
    tokenizer, device = Tokenizer.load(folder), pick_device(config.device)
    use_bf16 = uses_bf16(config, device)
    dtype = torch.bfloat16 if holds_bf16(device, is_bf16=use_bf16) else torch.float32
    for alpha in map(float, config.sweep):
        net = load_net(folder, device, dtype, alpha=alpha)
        model = measurable(net, tokenizer)
        losses[f"{alpha:g}"] = mean_loss(model, held_out, use_bf16=use_bf16)
    path = output / SWEEP
    document = {"trained_alpha": TRAINED_ALPHA, "samples": len(held_out), "held_out_loss": losses}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    scores = {f"held_out_loss@{alpha}": loss for alpha, loss in losses.items()}
    return Progress(stage="sweep", step=1, n_steps=1, scores=scores, note=str(path))
