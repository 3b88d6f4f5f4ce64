"""Apollo's three stages: align, vision pretraining, fine-tuning.

Command: write `runs/apollo/apollo.json`, then `longwatch train apollo`, once for every
stage, each beginning from the `model` that the last one left:

    {"model": "Apollo-3B-t32", "data": "mine.jsonl", "media": "media",
     "stage": "align", "size": "3b", "steps": 770, "samples_per_step": 256}

| stage | learns | rate | data of the paper |
|---|---|---|---|
| `align` | connector | 1e-4 | 198 K captions of images and videos, half and half |
| `vision_pretraining` | both towers, connector | 5e-6, 1e-4 | 396 K captions of videos |
| `fine_tuning` | connector, decoder | 1e-4, by size | 3.2 M: text, images, videos |

Optional: `learning_rate` (of the fastest part), `samples_per_step`, `held_out` (else a tenth of
`data`), `device` ("auto"), `bf16` (where the device is built for it), `gradient_checkpointing`
(false; true computes the decoder's layers again in the backward pass, to save memory). Paths are
relative to the file. The rule of the paper's data study holds for what is
really drawn (`finetune.apollo.check_mixture`): towers learn from videos alone, the decoder with
10 to 15 % text and no more images than videos. Data that cannot give that are refused.

Source: arXiv:2412.10360, table 7, figure 7 and appendix C: 2 frames a second, AdamW, batch 256,
one epoch a stage, warm-up 0.03, cosine, clipped at 1, on 128 A100; hours are not stated.
Expect: run here only for a few steps of every stage on the tiny variant, by its tests.

Differs from upstream, on purpose: betas and weight decay, which the paper leaves open, are 0.9,
0.999 and 0; each turn of a conversation is a sequence of its own behind the turns before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from engine.errors import InputRefusedError
from engine.models.apollo.checkpoint import Folders, load_net, read
from engine.models.apollo.net import build
from engine.models.layers.tokenizer import Tokenizer
from engine.training.finetune.apollo import check_mixture, longest_visual, stages, trainable
from engine.training.finetune.mixture import group_by_kind, kind_of, mixture_for
from engine.training.finetune.settings import TuningConfig, find_stage, read_settings, read_split
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.step_memory import META, TrainingMemory, announce, plan_causal
from engine.training.finetune.trainer import TrainableModel, tune
from engine.training.loop import Progress

CONFIG = "apollo.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApolloTuning(TuningConfig):
    """The contents of `apollo.json`."""

    size: str = "3b"
    """Sets the decoder's learning rate, and how many clips a video may give."""


def plan(output: Path, n_processes: int = 1) -> TrainingMemory:
    """Count the memory of a stage on one device, without weights."""
    config = read_settings(output / CONFIG, ApolloTuning)
    stage = find_stage(stages(config.size), config)
    net = build(read(config.model, Folders.of(config.model)), META, torch.float32)
    return plan_causal(
        net,
        net.decoder,
        partial(longest_visual, net, stage),
        stage,
        config,
        max_tokens=net.config.max_positions,
        n_processes=n_processes,
    )


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train one stage; the last line names the checkpoint's folder."""
    config = read_settings(output / CONFIG, ApolloTuning)
    stage = _find_stage(config)
    yield from announce(config, partial(plan, output))
    yield from tune(partial(_open, config, stage), stage, config, output, resume=resume)


def _open(config: ApolloTuning, stage: StageConfig, device: torch.device) -> TrainableModel:
    net = load_net(config.model, device, torch.float32)
    return trainable(net, Tokenizer.load(Folders.of(config.model).llm), stage)


def _find_stage(config: ApolloTuning) -> StageConfig:
    """Return the stage that the settings name, once the data are known to suit it.

    Raises:
        InputRefusedError: No such size or stage, or a mixture that the paper found harmful.
    """
    try:
        stage = find_stage(stages(config.size), config)
        read, _ = read_split(config)
        mixture = mixture_for(stage, group_by_kind(read.samples, kind_of), config.data_files)
        check_mixture(replace(stage, mixture=mixture))
    except ValueError as error:
        raise InputRefusedError(f"{config.data_files}: {error}") from error
    return stage
