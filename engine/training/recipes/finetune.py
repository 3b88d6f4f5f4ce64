"""Fine-tunes a Video-XL checkpoint on people's own video and questions.

Command: write `runs/finetune/finetune.json`, then `longwatch train finetune`:

    {"model": "../../assets/models/nano", "data": "mine.jsonl", "media": "videos",
     "steps": 200, "learning_rate": 2e-4}

Paths are relative to the file. The tower stays as it is; projector and decoder learn, with a
ratio drawn per chunk. Bad samples are named in the first lines of progress and skipped.
Expect: about 20 steps a second of nano on one core for clips of a minute; the loss on a handful
of clips falls within 100 steps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.errors import InputRefusedError
from engine.families._video_xl_net import VideoXlNet, save_net
from engine.families.video_xl import VideoXl, load
from engine.media.frames import Frame
from engine.nn.one_pass import Course, lay_out, one_pass
from engine.nn.pixels import prepare
from engine.nn.tokenizer import QWEN
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.reader_stage import IGNORED
from engine.training.samples import Sample, tokenise
from engine.training.tuning import (
    as_pixels,
    carry_over,
    exported,
    name_bad,
    read_frames,
    read_settings,
    read_usable,
)

CONFIG = "finetune.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """What `finetune.json` says."""

    model: Path
    data: Path
    media: Path
    steps: int = 200
    learning_rate: float = 2e-4
    samples_per_step: int = 4
    max_frames: int = 128
    """Upstream's bound; longer videos are thinned evenly."""


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress; the last line names the new checkpoint's folder."""
    config = read_settings(output / CONFIG, FinetuneConfig)
    read = read_usable(config.data, config.media)
    yield from name_bad(read.bad)
    model = load(config.model, torch.device("cpu"), torch.float32)
    stage = FinetuneStage(model, read.samples, config)
    loop = LoopConfig(
        n_steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, config.steps // 33),
        weight_decay=0.0,
        log_every=10,
        save_every=100,
        use_bf16=False,
    )
    yield from run_stage(stage, loop, output, resume=resume)
    folder = output / "model"
    folder.mkdir(exist_ok=True)
    save_net(model.net, folder, variant=output.name)
    carry_over(config.model, folder)
    yield Progress(stage="export", step=1, n_steps=1, note=exported(folder, read.bad))


class FinetuneStage:
    """The stage for `loop.run_stage`."""

    name = "finetune"

    def __init__(self, model: VideoXl, samples: tuple[Sample, ...], config: FinetuneConfig) -> None:
        self._model, self._config = model, config
        net: VideoXlNet = model.net
        assert net.projector is not None
        self.module = nn.ModuleDict({"decoder": net.decoder, "projector": net.projector})
        net.requires_grad_(False)
        self.module.requires_grad_(True)
        self._texts = [tokenise(sample.turns, model.tokenizer) for sample in samples]
        self._features = [self._see(sample) for sample in samples]
        self._prefix = torch.tensor(QWEN.before_video(model.tokenizer))

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Mean of a few samples' losses, each the mean over its labelled tokens."""
        rng = np.random.default_rng([34, step])
        drawn = rng.integers(len(self._texts), size=self._config.samples_per_step)
        return torch.stack([self._loss_of(int(idx), rng) for idx in drawn]).mean()

    def scores(self) -> Mapping[str, float]:
        """Loss over all samples at the default ratio."""
        losses = [float(self._loss_of(idx, None)) for idx in range(len(self._texts))]
        return {"loss_of_all": sum(losses) / len(losses)}

    def _loss_of(self, idx: int, rng: np.random.Generator | None) -> Tensor:
        net, (ids, labels) = self._model.net, self._texts[idx]
        tokens = net.projector(self._features[idx]).flatten(0, 1)  # type: ignore[misc]
        ratios, whole = net.config.compression_ratios, net.config.chunk_tokens
        chunks = tuple(
            (
                min(whole, len(tokens) - start),
                net.config.compression_ratio if rng is None else int(rng.choice(ratios)),
            )
            for start in range(0, len(tokens), whole)
        )
        course = Course(
            n_prefix=len(self._prefix), chunks=chunks, texts=(len(ids),), is_closed=True
        )
        embed = net.decoder.embed
        rows = torch.cat((embed(self._prefix), tokens, embed(ids)))
        hidden = one_pass(net.decoder, rows[None], lay_out(course))[0]
        said = net.decoder.logits(hidden[-len(ids) - 1 : -1])
        return F.cross_entropy(said, labels, ignore_index=IGNORED)

    @torch.no_grad()
    def _see(self, sample: Sample) -> Float[Tensor, "frame patch inner"]:
        net = self._model.net
        vision = net.config.vision
        assert vision is not None
        assert net.tower is not None
        parts = []
        for frame in self._frames(sample):
            ready = prepare(as_pixels(frame), vision.pixels)
            parts.append(net.tower.run(ready, vision.select_layer, with_vectors=False)[0])
        return torch.cat(parts)

    def _frames(self, sample: Sample) -> list[Frame]:
        frames = [frame for path in sample.media for frame in read_frames(path, fps=1.0)]
        if not frames:
            raise InputRefusedError(f"{sample.place} has no pictures")
        most = self._config.max_frames
        if len(frames) <= most:
            return frames
        return [frames[idx] for idx in np.linspace(0, len(frames) - 1, most).astype(int)]
