"""PLLaVA's one stage: adapters and projector learn from video, tower and language model stay.

Command: write `runs/pllava/pllava.json`, then `longwatch train pllava`:

    {"model": "llava-next", "data": "videos.jsonl", "media": "videos",
     "steps": 6250, "samples_per_step": 128}

Optional: `learning_rate` (2e-5), `samples_per_step`, `held_out` (else a tenth of `data`), `rank`
(128), `sweep` (strengths). Paths are relative to the file. `model` is an image model or a PLLaVA;
adapters that it has are left out, training starts new ones. Leaves `model`, read back by
`families.pllava.load(alpha=...)`, and `alphas.json`, the held-out loss at each strength.

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
from jaxtyping import Float
from torch import Tensor, nn

from engine.errors import InputRefusedError
from engine.models.layers.preprocess import prepare, resize
from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.model import first_resize
from engine.models.pllava.net import PllavaNet, load_net, save_net
from engine.training.data.media import as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.lora import RANK, TRAINED_ALPHA, adapt, strip
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.trainer import (
    TrainableModel,
    TuningConfig,
    chosen,
    kind_of,
    mean_loss,
    read_settings,
    read_split,
    tune,
)
from engine.training.loop import Progress

CONFIG = "pllava.json"
SWEEP = "alphas.json"
ALPHAS = (0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 32.0)
FPS = 2.0
"""Of the frames that a clip's are chosen from; upstream chooses from all of them."""
END = "</s>"
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
    """What `pllava.json` says."""

    rank: int = RANK
    sweep: Sequence[float | int] = ALPHAS
    """Strengths to measure at the end."""


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, then measure every strength; the last line names the table."""
    config = read_settings(output / CONFIG, PllavaTuning)
    net = load_net(config.model, torch.device("cpu"), torch.float32, alpha=0.0)
    learner = teach(net, Tokenizer.load(config.model), rank=config.rank)
    yield from tune(learner, chosen(STAGES, config), config, output, resume=resume)
    _, held_out = read_split(config)
    if held_out:
        yield sweep(output, held_out, config.sweep)


def teach(net: PllavaNet, tokenizer: Tokenizer, *, rank: int) -> TrainableModel:
    """A net with new adapters as something that learns.

    Raises:
        InputRefusedError: A size whose training text is not known: those on Yi.
    """
    if tokenizer.id_of("<|im_start|>") is not None:
        raise InputRefusedError("PLLaVA's training text for Yi is not known; use 7B or 13B")
    adapters = adapt(net.decoder, rank=rank, alpha=TRAINED_ALPHA, seed=42)

    def save(folder: Path) -> None:
        strip(net.decoder)
        save_net(net, adapters, folder, variant=folder.parent.name)

    return TrainableModel(
        root=nn.ModuleDict({"adapters": adapters, "projector": net.projector, "net": net}),
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        write=lambda sample: [write(net, tokenizer, sample)],
        save=save,
        kind=kind_of,
    )


def sweep(output: Path, held_out: Sequence[Sample], alphas: Sequence[float | int]) -> Progress:
    """Held-out loss of `output/model` at each strength, written beside it as JSON.

    Returns:
        A line of progress; `scores` has `held_out_loss@ALPHA`.
    """
    folder, losses = output / "model", {}
    tokenizer = Tokenizer.load(folder)
    for alpha in map(float, alphas):
        net = load_net(folder, torch.device("cpu"), torch.float32, alpha=alpha)
        losses[f"{alpha:g}"] = mean_loss(plain(net, tokenizer), held_out)
    path = output / SWEEP
    document = {"trained_alpha": TRAINED_ALPHA, "samples": len(held_out), "held_out_loss": losses}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    scores = {f"held_out_loss@{alpha}": loss for alpha, loss in losses.items()}
    return Progress(stage="sweep", step=1, n_steps=1, scores=scores, note=str(path))


def plain(net: PllavaNet, tokenizer: Tokenizer) -> TrainableModel:
    """A net as loaded, to measure."""

    def refuse(folder: Path) -> None:
        raise AssertionError(f"nothing was learnt that belongs into {folder}")

    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        write=lambda sample: [write(net, tokenizer, sample)],
        save=refuse,
        kind=kind_of,
    )


def write(net: PllavaNet, tokenizer: Tokenizer, sample: Sample) -> LabelledSequence:
    """A conversation as the 7B and 13B were taught: answers and their ends are learnt."""
    visual = see(net, sample)
    ids = [*tokenizer.opened("USER:"), *[PLACEHOLDER_ID] * len(visual)]
    labels = [IGNORED_LABEL] * len(ids)
    for number, turn in enumerate(sample.turns):
        opening = tokenizer.control("USER:") if number else []
        asked = [*opening, *tokenizer.plain(f"\n{turn.question}"), *tokenizer.control(END)]
        asked += tokenizer.control("ASSISTANT:")
        answer = [*tokenizer.plain(turn.answer), *tokenizer.control(END)]
        ids += asked + answer
        labels += [IGNORED_LABEL] * len(asked) + answer
    return LabelledSequence(ids=torch.tensor(ids), labels=torch.tensor(labels), visual=visual)


def see(net: PllavaNet, sample: Sample) -> Float[Tensor, "latent width"]:
    """The pooled tokens of as many frames as a chunk holds; gradients reach the projector."""
    frames = [frame for path in sample.media for frame in read_frames(path, fps=FPS)]
    features = []
    for frame in spread(frames, net.config.chunk_frames):
        pixels = as_pixels(frame)
        height_px, width_px = pixels.shape[2:]
        small = resize(pixels, *first_resize(height_px, width_px, net.config.pixels.size_px))
        ready = prepare(small, net.config.pixels).to(net.decoder.embed.weight)
        with torch.no_grad():
            features.append(net.tower.run(ready, net.config.select_layer, with_vectors=False)[0])
    return net.pool(net.projector(torch.cat(features)), net.compression_ratio)
