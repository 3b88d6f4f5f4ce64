"""People's own samples through the loop, for every family: settings, media, stage, checkpoint.

A recipe reads its settings, opens a model as a `Learner`, and hands both to `tune`.

Decision: float32 on the CPU, as nano is trained, because only tiny and small models were ever run
through it. Revisit when a released size is to be trained: device and dtype are the recipes' calls
of `load_net`, and the loop's autocast.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from engine.errors import InputRefusedError
from engine.media.frames import Frame
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.nn.decoder import Decoder
from engine.nn.splice import splice_batch
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.samples import BadSample, Sample, SampleFile, read_samples
from engine.training.spliced import Written, loss_of
from engine.training.stages import Kind, Stage, draw_kinds, fit_mixture, prepare

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
SOUNDS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})
WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth"})
HELD_OUT = 10
"""One sample of so many is held out where no file of held-out ones is named."""

_Settings = TypeVar("_Settings")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """What a recipe's JSON file says."""

    model: Path
    data: Path
    media: Path
    stage: str = ""
    """One of the recipe's; empty for the first."""
    steps: int = 200
    learning_rate: float | None = None
    """Peak of the fastest part; `None` takes the paper's."""
    samples_per_step: int = 4
    held_out: Path | None = None
    """Samples to measure on, never learnt; `None` holds out a tenth of `data`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model that is taught: its weights, and how it sees and writes a sample."""

    root: nn.Module
    """Holds the parts that stages name."""
    decoder: Decoder
    max_tokens: int
    write: Callable[[Sample], Sequence[Written]]
    """One sample as one or more sequences to learn."""
    save: Callable[[Path], None]
    """Writes the checkpoint into a folder that exists."""
    kind: Callable[[Sample], Kind]


def tune(
    learner: Learner, stage: Stage, config: TuningConfig, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Run one stage over people's samples and write the checkpoint to `output/model`."""
    read, held_out = read_split(config)
    yield from name_bad(read.bad)
    by_kind = sorted_by_kind(read.samples, learner.kind)
    mixture = mixture_for(stage, by_kind, config.data)
    if mixture.keys() != stage.mixture.keys():
        said = ", ".join(f"{kind} {share:.1%}" for kind, share in mixture.items())
        yield Progress(stage="data", step=0, n_steps=0, note=f"kinds are missing; drawn: {said}")
    module, shares = prepare(learner.root, stage)
    lesson = Lesson(learner, stage.name, module, by_kind, mixture, held_out, config)
    loop = LoopConfig(
        n_steps=config.steps,
        learning_rate=config.learning_rate or stage.learning_rate,
        warmup_steps=max(1, round(config.steps * stage.warmup_share)),
        final_share=stage.final_share,
        weight_decay=stage.weight_decay,
        clip_norm=stage.max_gradient_norm,
        log_every=10,
        save_every=100,
        use_bf16=False,
    )
    yield from run_stage(lesson, loop, output, resume=resume, shares=shares, betas=stage.betas)
    folder = output / "model"
    folder.mkdir(exist_ok=True)
    learner.save(folder)
    carry_over(config.model, folder)
    yield Progress(stage="export", step=1, n_steps=1, note=exported(folder, read.bad))


def name_bad(bad: Sequence[BadSample]) -> Iterator[Progress]:
    """A line of progress for each sample that is skipped."""
    for each in bad:
        note = f"{each.place}: {each.reason}; skipped"
        yield Progress(stage="data", step=0, n_steps=0, note=note, skipped=1)


def exported(folder: Path, bad: Sequence[BadSample]) -> str:
    """Where the checkpoint is, and how many samples it never saw."""
    return f"{folder}; {len(bad)} samples skipped" if bad else str(folder)


def read_split(config: TuningConfig) -> tuple[SampleFile, tuple[Sample, ...]]:
    """Samples to learn, and samples held out.

    Raises:
        InputRefusedError: No usable sample.
    """
    read = read_usable(config.data, config.media)
    if config.held_out is not None:
        return read, read_usable(config.held_out, config.media).samples
    held_out = read.samples[HELD_OUT - 1 :: HELD_OUT]
    kept = tuple(each for n, each in enumerate(read.samples, start=1) if n % HELD_OUT)
    return SampleFile(samples=kept, bad=read.bad), held_out


def read_usable(data: Path, media: Path) -> SampleFile:
    """Samples of a file.

    Raises:
        InputRefusedError: None of them can be used.
    """
    read = read_samples(data, media)
    if not read.samples:
        raise InputRefusedError(f"{data} holds no usable sample")
    return read


def mixture_for(
    stage: Stage, by_kind: Mapping[Kind, Sequence[Sample]], data: Path
) -> dict[Kind, float]:
    """The stage's mixture, as far as the data have its kinds.

    Raises:
        InputRefusedError: They have none of them.
    """
    try:
        return fit_mixture(stage.mixture, frozenset(by_kind))
    except ValueError as error:
        raise InputRefusedError(f"{data} does not suit {stage.name!r}: {error}") from error


class Lesson:
    """A stage over samples, for `loop.run_stage`."""

    def __init__(
        self,
        learner: Learner,
        name: str,
        module: nn.Module,
        by_kind: Mapping[Kind, Sequence[Sample]],
        mixture: Mapping[Kind, float],
        held_out: Sequence[Sample],
        config: TuningConfig,
    ) -> None:
        self.name, self.module = name, module
        self._learner, self._by_kind, self._mixture = learner, by_kind, mixture
        self._held_out, self._config = held_out, config

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Mean over the labelled tokens of a few samples."""
        kinds = draw_kinds(self._mixture, self._config.samples_per_step, seed=(35, step))
        random = np.random.default_rng([36, step])
        drawn = []
        for kind in kinds:
            samples = self._by_kind[kind]
            written = self._learner.write(samples[int(random.integers(len(samples)))])
            drawn.append(written[int(random.integers(len(written)))])
        return batch_loss(self._learner, drawn)

    def scores(self) -> Mapping[str, float]:
        """Loss on what is held out; nothing where nothing is."""
        if not self._held_out:
            return {}
        return {"held_out_loss": mean_loss(self._learner, self._held_out)}


def batch_loss(learner: Learner, written: Sequence[Written]) -> Tensor:
    """Next-token loss of some sequences in one pass."""
    embed = learner.decoder.embed
    pairs = [(each.ids, each.visual) for each in written]
    labels = [each.labels for each in written]
    return loss_of(
        learner.decoder, splice_batch(embed, pairs, labels, max_tokens=learner.max_tokens)
    )


@torch.no_grad()
def mean_loss(learner: Learner, samples: Sequence[Sample]) -> float:
    """Mean of samples' losses, each over all its turns."""
    losses = [float(batch_loss(learner, learner.write(sample))) for sample in samples]
    return sum(losses) / len(losses)


def read_settings(path: Path, kind: type[_Settings]) -> _Settings:
    """Read a recipe's JSON file; paths in it are relative to it.

    Raises:
        InputRefusedError: It is missing, not JSON, or holds an unknown or misses a needed field.
    """
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in ("model", "data", "media", "held_out"):
            if name != "held_out" or said.get(name) is not None:
                said[name] = path.parent / said[name]
        return kind(**said)
    except FileNotFoundError as error:
        raise InputRefusedError(
            f"this recipe needs {path}",
            hint='write {"model": ..., "data": "x.jsonl", "media": "folder"} there',
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefusedError(f"{path}: {error}") from error


def chosen(stages: Sequence[Stage], config: TuningConfig) -> Stage:
    """The stage that the settings name.

    Raises:
        InputRefusedError: No such stage; the message lists what there is.
    """
    for stage in stages:
        if config.stage in ("", stage.name):
            return stage
    known = ", ".join(stage.name for stage in stages)
    raise InputRefusedError(f"no stage {config.stage!r}; there are {known}")


def kind_of(sample: Sample) -> Kind:
    """What a sample shows, told by the endings of its files."""
    endings = {path.suffix.lower() for path in sample.media}
    if not endings:
        return "text"
    if endings <= PICTURES:
        return "image" if len(sample.media) == 1 else "multi_image"
    return "audio" if endings <= SOUNDS else "video"


def sorted_by_kind(
    samples: Sequence[Sample], kind: Callable[[Sample], Kind]
) -> dict[Kind, list[Sample]]:
    """Samples by what they show, in the order of the data."""
    found: dict[Kind, list[Sample]] = {}
    for sample in samples:
        found.setdefault(kind(sample), []).append(sample)
    return found


@lru_cache(maxsize=64)
def read_frames(path: Path, *, fps: float) -> tuple[Frame, ...]:
    """Frames of a video at a rate, or a picture alone; the last files read are kept."""
    if path.suffix.lower() in PICTURES:
        with Image.open(path) as picture:
            return (Frame(pixels=np.array(picture.convert("RGB")), pts_s=0.0),)
    sampling = SamplingConfig(fps=fps, static_threshold=0.0)
    with FrameReader(str(path), sampling, limits=MediaLimits()) as reader:
        return tuple(reader)


def as_pixels(frame: Frame) -> UInt8[Tensor, "1 3 h w"]:
    """A frame as what the towers' preparations take."""
    return torch.from_numpy(frame.pixels).permute(2, 0, 1)[None].contiguous()


def spread(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """At most so many, the middles of equal stretches."""
    if len(items) <= most:
        return items
    return [items[(2 * place + 1) * len(items) // (2 * most)] for place in range(most)]


def carry_over(source: Path, folder: Path) -> None:
    """Copy what a checkpoint folder holds beside its weights, towers of their own included.

    What is there already stays; a folder that has weights gets no others.
    """
    full = {path.parent for path in folder.rglob("*") if path.suffix in WEIGHTS}
    for path in sorted(source.rglob("*")):
        target = folder / path.relative_to(source)
        if not path.is_file() or target.exists():
            continue
        is_weights = path.suffix in WEIGHTS or path.name.endswith(".index.json")
        if not (is_weights and target.parent in full):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
