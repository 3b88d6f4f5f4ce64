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
`data`). Paths are relative to the file. The rule of the paper's data study holds for what is
really drawn (`training.apollo.check_mixture`): towers learn from videos alone, the decoder with
10 to 15 % text and no more images than videos. Data that cannot give that are refused.

Source: arXiv:2412.10360, table 7, figure 7 and appendix C: 2 frames a second, AdamW, batch 256,
one epoch a stage, warm-up 0.03, cosine, clipped at 1, on 128 A100; hours are not stated.
Expect: run here only for a few steps of every stage on the tiny variant, by its tests.

Differs from upstream, on purpose: betas and weight decay, which the paper leaves open, are 0.9,
0.999 and 0; each turn of a conversation is a sequence of its own behind the turns before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.errors import InputRefusedError
from engine.media.frames import Frame
from engine.models.apollo.checkpoint import Folders, load_net, save_net
from engine.models.apollo.net import ApolloNet
from engine.models.layers.tokenizer import Tokenizer
from engine.tensors import FrameBatch
from engine.training.data.media import as_pixels, read_frames
from engine.training.data.samples import Sample
from engine.training.finetune import apollo
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.trainer import (
    TrainableModel,
    TuningConfig,
    chosen,
    kind_of,
    mixture_for,
    read_settings,
    read_split,
    sorted_by_kind,
    tune,
)
from engine.training.loop import Progress

CONFIG = "apollo.json"
FPS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApolloTuning(TuningConfig):
    """What `apollo.json` says."""

    size: str = "3b"
    """Whose rate the decoder learns at, and how many clips a video may give."""


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train one stage; the last line names the checkpoint's folder."""
    config = read_settings(output / CONFIG, ApolloTuning)
    stage = _stage(config)
    net = load_net(config.model, torch.device("cpu"), torch.float32)
    learner = teach(net, Tokenizer.load(Folders.of(config.model).llm), stage)
    yield from tune(learner, stage, config, output, resume=resume)


def _stage(config: ApolloTuning) -> StageConfig:
    """The stage that is asked for, once the data at hand are known to suit it.

    Raises:
        InputRefusedError: No such size or stage, or a mixture that the paper found harmful.
    """
    try:
        stage = chosen(apollo.stages(config.size), config)
        read, _ = read_split(config)
        mixture = mixture_for(stage, sorted_by_kind(read.samples, kind_of), config.said)
        apollo.check_mixture(replace(stage, mixture=mixture))
    except ValueError as error:
        raise InputRefusedError(f"{config.said}: {error}") from error
    return stage


def teach(net: ApolloNet, tokenizer: Tokenizer, stage: StageConfig) -> TrainableModel:
    """A net as something that learns one of the stages."""
    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=net.config.max_positions,
        write=lambda sample: write(net, tokenizer, sample, stage),
        save=lambda folder: save_net(net, folder, variant=folder.parent.name),
        kind=kind_of,
    )


def write(
    net: ApolloNet, tokenizer: Tokenizer, sample: Sample, stage: StageConfig
) -> list[LabelledSequence]:
    """One sequence for every turn; only its own answer is learnt."""
    frames = [frame for path in sample.media for frame in read_frames(path, fps=FPS)]
    kind = kind_of(sample)
    n_frames = net.config.vision.grid[0]
    clips = tuple(_clips(frames, n_frames if kind == "video" else 1, n_frames))
    duration_s = frames[-1].pts_s + 1 / FPS if frames else 0.0
    shown = [
        apollo.Sample(
            kind=kind,
            clips=clips,
            duration_s=duration_s,
            question=turn.question,
            answer=turn.answer,
            history=sample.turns[:number],
        )
        for number, turn in enumerate(sample.turns)
    ]
    return [apollo.write_seen(net, tokenizer, each, stage) for each in shown]


def _clips(frames: list[Frame], own: int, whole: int) -> Iterator[FrameBatch]:
    """Clips of so many frames of their own; the last one is repeated up to a whole clip."""
    for start in range(0, len(frames), own):
        held = frames[start : start + own]
        filled = [*held, *[held[-1]] * (whole - len(held))]
        yield FrameBatch(
            pixels=torch.cat([as_pixels(frame) for frame in filled]),
            pts_s=torch.tensor([frame.pts_s for frame in filled], dtype=torch.float64),
        )
