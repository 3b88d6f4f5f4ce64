"""PLLaVA's one stage: adapters and projector learn from video, tower and language model stay.

Command: write `runs/pllava/pllava.json`, then `longwatch train pllava`:

    {"model": "llava-next", "data": "videos.jsonl", "media": "videos",
     "steps": 6250, "samples_per_step": 128}

Optional: `learning_rate` (2e-5), `samples_per_step`, `held_out` (else a tenth of `data`), `rank`
(128), `sweep` (strengths). Paths are relative to the file. `model` is an image model or a PLLaVA;
adapters that it has are left out, training starts new ones. Leaves `model`, read back by
`models.pllava.model.load(alpha=...)`, and `alphas.json`, the held-out loss at each strength.

Source: arXiv:2404.16994 sections 3 and 4 and upstream's scripts at 6f49fd2: rank 128 on q and v,
alpha 32, dropout 0.05; AdamW 2e-5, weight decay 0.02, batch 128, 6250 steps of 783 K videos on 8
GPUs (their kind and hours are not stated), warm-up 0.03 as the paper has it (scripts: 0.2). The
sweep is its figure of alpha: long answers best near 4, multiple choice near 20.
Expect: run here only for a few steps on the tiny variant, by its tests. No score is known to us.

Differs from upstream, each on purpose: float32 on the CPU, without shards of a batch;
the rate falls along a whole half cosine to a quarter, upstream cuts its cosine off there; text is
encoded piece by piece, so that labels are known without searching for them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.net import load_net
from engine.training.data.samples import Sample
from engine.training.finetune.lora import RANK, TRAINED_ALPHA
from engine.training.finetune.pllava import measurable, trainable
from engine.training.finetune.settings import TuningConfig, find_stage, read_settings, read_split
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.trainer import mean_loss, tune
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


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, then measure every strength; the last line names the table."""
    config = read_settings(output / CONFIG, PllavaTuning)
    net = load_net(config.model, torch.device("cpu"), torch.float32, alpha=0.0)
    model = trainable(net, Tokenizer.load(config.model), rank=config.rank)
    yield from tune(model, find_stage(STAGES, config), config, output, resume=resume)
    _, held_out = read_split(config)
    if held_out:
        yield sweep(output, held_out, config.sweep)


def sweep(output: Path, held_out: Sequence[Sample], alphas: Sequence[float | int]) -> Progress:
    """Measure the held-out loss of `output/model` at each strength, and write it beside as JSON.

    Returns:
        A line of progress; `scores` has `held_out_loss@ALPHA`.
    """
    folder, losses = output / "model", {}
    tokenizer = Tokenizer.load(folder)
    for alpha in map(float, alphas):
        net = load_net(folder, torch.device("cpu"), torch.float32, alpha=alpha)
        losses[f"{alpha:g}"] = mean_loss(measurable(net, tokenizer), held_out)
    path = output / SWEEP
    document = {"trained_alpha": TRAINED_ALPHA, "samples": len(held_out), "held_out_loss": losses}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    scores = {f"held_out_loss@{alpha}": loss for alpha, loss in losses.items()}
    return Progress(stage="sweep", step=1, n_steps=1, scores=scores, note=str(path))
