"""VideoLLaMA 2's five stages: video, audio, then both together.

Command: write `runs/videollama2/videollama2.json`, then `longwatch train videollama2`,
once for every stage, each beginning from the `model` that the last one left:

    {"model": "VideoLLaMA2.1-7B-AV", "data": "mine.jsonl", "media": "media",
     "stage": "video_pretrain", "steps": 11900, "samples_per_step": 1024}

| stage | learns | rate | batch | data of the paper |
|---|---|---|---|---|
| `video_pretrain` | connector | 1e-3 | 1024 | 12.2 M pairs |
| `video_multitask` | connector, decoder | 2e-5 | 2048 | 1.35 M |
| `audio_pretrain` | audio projector | 1e-3 | 1024 | 400 K |
| `audio_tune` | BEATs, audio projector | 2e-5 | 2048 (scripts: 128) | 698 K |
| `joint` | all but the vision tower | 2e-5 | 128 (scripts) | 836 K |

Optional: `learning_rate`, `samples_per_step`, `held_out` (else a tenth of `data`), `device`
("auto"), `bf16` (where the device is built for it), `gradient_checkpointing` (false; true computes
the decoder's layers again in the backward pass, to save memory). Paths are relative to the file.
The sound of an `audio` file is read, in `joint` also that of a
`video` with a sound track. Audio stages need a checkpoint with an audio tower.

Source: arXiv:2406.07476v3 section 3.3 and upstream's scripts at c0bb03a and 8cedfbd: AdamW, weight
decay 0, warm-up 0.03, cosine, clipped at 1. Hardware and hours of the paper are not stated.
Expect: run here only for a few steps of every stage on the tiny variant, by its tests.

Decision: BEATs learns in `joint`, as report v3 and its script have it; the early report froze it.
Differs from upstream, each on purpose: kinds are drawn by their shares, upstream's `joint` goes
round two of them by an index that skips every other one; text is encoded piece by piece, in the
layouts of `models.videollama2.prompts`; frames are chosen from two a second.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from engine.errors import InputRefusedError
from engine.models.layers.tokenizer import Tokenizer
from engine.models.videollama2.checkpoint import find_files, load_net, read
from engine.models.videollama2.net import VideoLlama2Net, build
from engine.training.finetune.settings import TuningConfig, find_stage, read_settings
from engine.training.finetune.stage_config import Kind, StageConfig
from engine.training.finetune.step_memory import META, TrainingMemory, announce, plan_causal
from engine.training.finetune.trainer import TrainableModel, tune
from engine.training.finetune.videollama2 import longest_visual, trainable
from engine.training.loop import Progress

CONFIG = "videollama2.json"
PAIRS = {"image": 0.603, "video": 11.6}
"""Millions of the first stage: CC-3M 595 K and DCI 7.8 K, the rest videos."""
TASKS = {"text": 120.0, "image": 746.0, "video": 488.0}
"""Thousands of the second stage."""


def _shares(counts: dict[str, float]) -> dict[Kind, float]:
    total = sum(counts.values())
    return {kind: n / total for kind, n in counts.items()}  # type: ignore[misc]


STAGES = (
    StageConfig(
        name="video_pretrain",
        rates={"connector.": 1e-3},
        mixture=_shares(PAIRS),
        max_clips=1,
        batch=1024,
    ),
    StageConfig(
        name="video_multitask",
        rates={"connector.": 2e-5, "decoder.": 2e-5},
        mixture=_shares(TASKS),
        max_clips=1,
        batch=2048,
        epochs=3,
    ),
    StageConfig(
        name="audio_pretrain",
        rates={"audio_projector.": 1e-3},
        mixture={"audio": 1.0},
        max_clips=1,
        batch=1024,
    ),
    StageConfig(
        name="audio_tune",
        rates={"audio_tower.": 2e-5, "audio_projector.": 2e-5},
        mixture={"audio": 1.0},
        max_clips=1,
        batch=2048,
        epochs=2,
    ),
    StageConfig(
        name="joint",
        rates=dict.fromkeys(("connector.", "decoder.", "audio_tower.", "audio_projector."), 2e-5),
        mixture={"audio_video": 0.5, "audio": 0.25, "video": 0.25},
        max_clips=1,
        batch=128,
        epochs=2,
    ),
)
"""In order; the paper's batches and most epochs."""


def plan(output: Path, n_processes: int = 1) -> TrainingMemory:
    """Count the memory of a stage on one device, without weights."""
    config = read_settings(output / CONFIG, TuningConfig)
    stage = find_stage(STAGES, config)
    net = build(read(config.model, find_files(config.model)), META, torch.float32)
    _check_hearing(config, stage, net)
    return plan_causal(
        net,
        net.decoder,
        partial(longest_visual, net, stage),
        stage,
        config,
        max_tokens=net.config.decoder.max_positions,
        n_processes=n_processes,
    )


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train one stage; the last line names the checkpoint's folder."""
    config = read_settings(output / CONFIG, TuningConfig)
    stage = find_stage(STAGES, config)
    yield from announce(config, partial(plan, output))
    yield from tune(partial(_open, config, stage), stage, config, output, resume=resume)


def _open(config: TuningConfig, stage: StageConfig, device: torch.device) -> TrainableModel:
    net = load_net(config.model, device, torch.float32)
    _check_hearing(config, stage, net)
    return trainable(net, Tokenizer.load(config.model), stage)


def _check_hearing(config: TuningConfig, stage: StageConfig, net: VideoLlama2Net) -> None:
    if stage.trains("audio_projector.") and net.config.hearing is None:
        raise InputRefusedError(f"{config.model} has no audio tower, which {stage.name!r} trains")
