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

Optional: `learning_rate`, `samples_per_step`, `held_out` (else a tenth of `data`). Paths are
relative to the file. A sample with an `audio` file is heard; in `joint` a `video` with a sound
track is seen and heard. Audio stages want a checkpoint that has ears.

Source: arXiv:2406.07476v3 section 3.3 and upstream's scripts at c0bb03a and 8cedfbd: AdamW, weight
decay 0, warm-up 0.03, cosine, clipped at 1. Hardware and hours of the paper are not stated.
Expect: run here only for a few steps of every stage on the tiny variant, by its tests.

Decision: BEATs learns in `joint`, as report v3 and its script have it; the early report froze it.
Differs from upstream, each on purpose: kinds are drawn by their shares, upstream's `joint` goes
round two of them by an index that skips every other one; text is encoded piece by piece, in the
layouts of `_videollama2_prompts`; frames are chosen from two a second.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.errors import InputRefusedError
from engine.media.audio import SoundFrames, read_audio
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.models.layers.preprocess import prepare
from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.weights import save
from engine.models.videollama2.checkpoint import KEY_MAP, load_net
from engine.models.videollama2.net import VideoLlama2Net
from engine.models.videollama2.prompts import LAYOUTS, Layout
from engine.records import TimeSpan
from engine.training.data.media import PICTURES, SOUNDS, as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.stage_config import Kind, StageConfig
from engine.training.finetune.trainer import (
    TrainableModel,
    TuningConfig,
    chosen,
    kind_of,
    read_settings,
    tune,
)
from engine.training.loop import Progress

CONFIG = "videollama2.json"
FPS = 2.0
MAX_TEXT_TOKENS = 2048
"""Counted by upstream before visual tokens take their places."""
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


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train one stage; the last line names the checkpoint's folder."""
    config = read_settings(output / CONFIG, TuningConfig)
    stage = chosen(STAGES, config)
    net = load_net(config.model, torch.device("cpu"), torch.float32)
    if stage.trains("audio_projector.") and net.config.hearing is None:
        raise InputRefusedError(f"{config.model} has no ears, which {stage.name!r} would teach")
    learner = teach(net, Tokenizer.load(config.model), stage)
    yield from tune(learner, stage, config, output, resume=resume)


def teach(net: VideoLlama2Net, tokenizer: Tokenizer, stage: StageConfig) -> TrainableModel:
    """A net as something that learns one of the stages."""
    rows = net.config.decoder.max_positions
    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=rows,
        write=lambda sample: [write(net, tokenizer, sample, stage)],
        save=lambda folder: save(net, folder, KEY_MAP),
        kind=heard_kind if stage.name == "joint" else kind_of,
    )


def heard_kind(sample: Sample) -> Kind:
    """As `kind_of`; a video with a sound track is both seen and heard."""
    kind = kind_of(sample)
    has_track = kind == "video" and any(read_sound(path) is not None for path in sample.media)
    return "audio_video" if has_track else kind


def write(
    net: VideoLlama2Net, tokenizer: Tokenizer, sample: Sample, stage: StageConfig
) -> LabelledSequence:
    """A conversation behind what is seen and heard.

    The first stage learns every word of bare captions; the others learn answers and their ends.
    """
    visual = perceive(net, sample, hears=stage.trains("audio_projector."))
    places = [PLACEHOLDER_ID] * len(visual)
    if stage.name == "video_pretrain":
        said = " ".join(f"{turn.question} {turn.answer}" for turn in sample.turns)
        words = tokenizer.plain(said)[:MAX_TEXT_TOKENS]
        ids, labels = [*places, *words], [IGNORED_LABEL] * len(places) + words
        return LabelledSequence(ids=torch.tensor(ids), labels=torch.tensor(labels), visual=visual)
    layout = LAYOUTS["qwen" if net.config.is_qwen else "mistral"]
    is_tag_alone = stage.name == "audio_pretrain"
    before, labels = _lay_out(tokenizer, layout, sample, is_tag_alone=is_tag_alone)
    ids = [*before[0], *places, *before[1]]
    wanted = [IGNORED_LABEL] * (len(before[0]) + len(places)) + labels
    return LabelledSequence(ids=torch.tensor(ids), labels=torch.tensor(wanted), visual=visual)


def _lay_out(
    tokenizer: Tokenizer, layout: Layout, sample: Sample, *, is_tag_alone: bool
) -> tuple[tuple[list[int], list[int]], list[int]]:
    """Ids before and behind what is seen and heard, and the labels of the latter."""
    behind: list[int] = []
    labels: list[int] = []
    for number, turn in enumerate(sample.turns):
        role = tokenizer.control(layout.before_user if number else "")
        # The tag stands before the line break of the first question.
        asked = "" if is_tag_alone else turn.question if number else f"\n{turn.question}"
        opening = [*role, *tokenizer.plain(asked)]
        opening += tokenizer.control(layout.after_user + layout.before_reply)
        answer = [*tokenizer.plain(turn.answer), *tokenizer.control(layout.after_reply)]
        behind += opening + answer
        labels += [IGNORED_LABEL] * len(opening) + answer
    before = tokenizer.control(layout.opening)
    return (before, behind[:MAX_TEXT_TOKENS]), labels[:MAX_TEXT_TOKENS]


def perceive(net: VideoLlama2Net, sample: Sample, *, hears: bool) -> Float[Tensor, "visual width"]:
    """Video tokens, with audio tokens behind them where the stage listens."""
    tokens = []
    for path in sample.media:
        if path.suffix.lower() not in SOUNDS:
            tokens.append(_see(net, path))
        samples = read_sound(path) if hears else None
        if samples is not None:
            tokens.append(net.hear(samples))
    width = net.config.decoder.width
    return torch.cat(tokens) if tokens else net.decoder.embed.weight.new_zeros(0, width)


def _see(net: VideoLlama2Net, path: Path) -> Float[Tensor, "visual width"]:
    """One chunk of a video's frames; gradients reach the connector."""
    weight, features = net.decoder.embed.weight, []
    for frame in spread(read_frames(path, fps=FPS), net.config.chunk_frames):
        ready = prepare(as_pixels(frame), net.config.pixels).to(weight)
        with torch.no_grad():
            features.append(net.tower.run(ready, net.config.select_layer, with_vectors=False)[0])
    return net.compress(net.connector.project_frames(torch.cat(features)))


@lru_cache(maxsize=64)
def read_sound(path: Path) -> Float32[Tensor, " sample"] | None:
    """The whole sound of a file at 16 kHz; `None` of a picture, or of a video without a track."""
    if path.suffix.lower() in PICTURES:
        return None
    sampling, limits = SamplingConfig(), MediaLimits()
    opened: SoundFrames | FrameReader
    if path.suffix.lower() in SOUNDS:
        opened = SoundFrames(str(path), sampling, limits=limits)
    else:
        opened = FrameReader(str(path), sampling, limits=limits)
    with opened:
        duration_s = opened.info.duration_s
    if not duration_s:
        return None
    heard = read_audio(str(path), TimeSpan(start_s=0.0, end_s=duration_s), limits=limits)
    return None if heard is None else torch.from_numpy(heard)
