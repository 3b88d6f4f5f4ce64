"""People's own samples through the loop, for every family: settings, media, stage, checkpoint.

A recipe reads its settings, opens a model as a `TrainableModel`, and hands both to `tune`.

Decision: float32 on the CPU, as nano is trained, because only tiny and small models were ever run
through it. Revisit when a released size is to be trained: device and dtype are the recipes' calls
of `load_net`, and the loop's autocast.
"""

import difflib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import InputRefusedError
from engine.models.layers.decoder import Decoder
from engine.models.layers.splice import splice_batch
from engine.training.data.media import PICTURES, SOUNDS, without_unreadable
from engine.training.data.samples import BadSample, Sample, SampleFile, Source, read_samples
from engine.training.finetune.causal_loss import LabelledSequence, loss_of
from engine.training.finetune.stage_config import (
    Kind,
    StageConfig,
    draw_kinds,
    fit_mixture,
    prepare,
)
from engine.training.loop import LoopConfig, Progress, run_stage

WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth"})
CARD = "README.md"
HELD_OUT = 10
"""One sample of so many is held out where no file of held-out ones is named."""

_Settings = TypeVar("_Settings", bound="TuningConfig")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """What a recipe's JSON file says."""

    model: Path
    data: tuple[Source, ...]
    """Written as one file beside `media`, or as a list of
    `{"file": ..., "media": ..., "weight": ...}`."""
    stage: str = ""
    """One of the recipe's; empty for the first."""
    steps: int = 200
    learning_rate: float | None = None
    """Peak of the fastest part; `None` takes the paper's."""
    samples_per_step: int = 4
    held_out: tuple[Source, ...] = ()
    """Samples to measure on, never learnt, written as `data` is; empty holds out a tenth of it."""

    def __post_init__(self) -> None:
        for name in ("steps", "samples_per_step"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        rate = self.learning_rate
        if rate is not None and (not isinstance(rate, int | float) or rate <= 0):
            raise ValueError(f"learning_rate must be a number above 0, not {rate!r}")

    @property
    def said(self) -> str:
        """The files of `data`, for messages."""
        return ", ".join(str(source.file) for source in self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainableModel:
    """A model that is taught: its weights, and how it sees and writes a sample."""

    root: nn.Module
    """Holds the parts that stages name."""
    decoder: Decoder
    max_tokens: int
    write: Callable[[Sample], Sequence[LabelledSequence]]
    """One sample as one or more sequences to learn."""
    save: Callable[[Path], None]
    """Writes the checkpoint into a folder that exists."""
    kind: Callable[[Sample], Kind]


def tune(
    learner: TrainableModel, stage: StageConfig, config: TuningConfig, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Run one stage over people's samples and write the checkpoint to `output/model`."""
    read, held_out = read_split(config)
    yield from name_bad(read.bad)
    by_kind = sorted_by_kind(read.samples, learner.kind)
    mixture = mixture_for(stage, by_kind, config.said)
    if mixture.keys() != stage.mixture.keys():
        said = ", ".join(f"{kind} {share:.1%}" for kind, share in mixture.items())
        yield Progress(stage="data", step=0, n_steps=0, note=f"kinds are missing; drawn: {said}")
    module, shares = prepare(learner.root, stage)
    lesson = SampleTask(learner, stage.name, module, by_kind, mixture, held_out, config)
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
    read = read_usable(config.data)
    if config.held_out:
        return read, read_usable(config.held_out).samples
    held_out = read.samples[HELD_OUT - 1 :: HELD_OUT]
    kept = tuple(each for n, each in enumerate(read.samples, start=1) if n % HELD_OUT)
    return SampleFile(samples=kept, bad=read.bad), held_out


def read_usable(sources: Sequence[Source]) -> SampleFile:
    """Samples of all sources whose media can be read.

    Raises:
        InputRefusedError: None of them can be used.
    """
    files = [read_samples(each.file, each.media, weight=each.weight) for each in sources]
    samples = tuple(sample for file in files for sample in file.samples)
    bad = tuple(sample for file in files for sample in file.bad)
    read = without_unreadable(SampleFile(samples=samples, bad=bad))
    if not read.samples:
        said = ", ".join(str(each.file) for each in sources)
        why = f": {read.bad[0].place}: {read.bad[0].reason}" if read.bad else ""
        raise InputRefusedError(f"{said} holds no usable sample{why}")
    return read


def mixture_for(
    stage: StageConfig, by_kind: Mapping[Kind, Sequence[Sample]], data: str
) -> dict[Kind, float]:
    """The stage's mixture, as far as the data have its kinds; theirs where it states none.

    Args:
        stage: What is trained.
        by_kind: The data.
        data: What to call them in a message.
    Raises:
        InputRefusedError: They have none of them.
    """
    if not stage.mixture:
        return shares_of(by_kind)
    try:
        return fit_mixture(stage.mixture, frozenset(by_kind))
    except ValueError as error:
        raise InputRefusedError(f"{data} does not suit {stage.name!r}: {error}") from error


def shares_of(by_kind: Mapping[Kind, Sequence[Sample]]) -> dict[Kind, float]:
    """Share of each kind when samples are drawn by their weights."""
    sums = {kind: sum(each.weight for each in samples) for kind, samples in by_kind.items()}
    return {kind: weight / sum(sums.values()) for kind, weight in sums.items()}


class Pool:
    """Samples to draw from, each as often as its weight says."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self._ends = np.array(list(accumulate(sample.weight for sample in samples)))

    def draw(self, random: np.random.Generator) -> Sample:
        """One of them."""
        place = np.searchsorted(self._ends, random.random() * self._ends[-1], side="right")
        return self.samples[min(int(place), len(self.samples) - 1)]


class SampleTask:
    """A stage over samples, for `loop.run_stage`."""

    def __init__(
        self,
        learner: TrainableModel,
        name: str,
        module: nn.Module,
        by_kind: Mapping[Kind, Sequence[Sample]],
        mixture: Mapping[Kind, float],
        held_out: Sequence[Sample],
        config: TuningConfig,
    ) -> None:
        self.name, self.module = name, module
        self._learner, self._mixture = learner, mixture
        self._pools = {kind: Pool(samples) for kind, samples in by_kind.items()}
        self._held_out, self._config = held_out, config

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Mean over the labelled tokens of a few samples."""
        kinds = draw_kinds(self._mixture, self._config.samples_per_step, seed=(35, step))
        random = np.random.default_rng([36, step])
        drawn = []
        for kind in kinds:
            written = self._learner.write(self._pools[kind].draw(random))
            drawn.append(written[int(random.integers(len(written)))])
        return batch_loss(self._learner, drawn)

    def scores(self) -> Mapping[str, float]:
        """Loss on what is held out; nothing where nothing is."""
        if not self._held_out:
            return {}
        return {"held_out_loss": mean_loss(self._learner, self._held_out)}


def batch_loss(learner: TrainableModel, written: Sequence[LabelledSequence]) -> Tensor:
    """Next-token loss of some sequences in one pass."""
    embed = learner.decoder.embed
    pairs = [(each.ids, each.visual) for each in written]
    labels = [each.labels for each in written]
    return loss_of(
        learner.decoder, splice_batch(embed, pairs, labels, max_tokens=learner.max_tokens)
    )


@torch.no_grad()
def mean_loss(learner: TrainableModel, samples: Sequence[Sample]) -> float:
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
        media = said.pop("media", None)
        said["model"] = path.parent / said["model"]
        said["data"] = _sources(said["data"], media, path.parent)
        said["held_out"] = _sources(said.get("held_out") or (), media, path.parent)
        known = [field.name for field in fields(kind)]
        for name in said.keys() - set(known):
            near = difflib.get_close_matches(name, [*known, "media"], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no setting {name!r}{hint}")
        return kind(**said)
    except FileNotFoundError as error:
        raise InputRefusedError(
            f"this recipe needs {path}",
            hint='write {"model": ..., "data": "x.jsonl", "media": "folder"} there',
        ) from error
    except KeyError as error:
        raise InputRefusedError(f"{path}: the setting {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InputRefusedError(f"{path}: {error}") from error


def _sources(said: Any, media: Any, home: Path) -> tuple[Source, ...]:
    """One file, or a list of files that may each have media and a weight of their own."""
    entries: Any = [{"file": said}] if isinstance(said, str) else said
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() - {"file", "media", "weight"}:
            raise ValueError(f"a source must be file, media and weight, not {entry!r}")
        folder = entry.get("media", media)
        if folder is None:
            raise ValueError(f"the media folder of {entry['file']} is missing")
        weight = entry.get("weight", 1.0)
        if not isinstance(weight, int | float):
            raise ValueError(f"weight of {entry['file']} must be a number, not {weight!r}")
        found.append(Source(file=home / entry["file"], media=home / folder, weight=float(weight)))
    return tuple(found)


def chosen(stages: Sequence[StageConfig], config: TuningConfig) -> StageConfig:
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


def carry_over(source: Path, folder: Path) -> None:
    """Copy what a checkpoint folder holds beside its weights, towers of their own included.

    What is there already stays; a folder that has weights gets no others. A model card stays
    behind: its figures are of the weights that it came with.
    """
    full = {path.parent for path in folder.rglob("*") if path.suffix in WEIGHTS}
    for path in sorted(source.rglob("*")):
        target = folder / path.relative_to(source)
        if not path.is_file() or target.exists() or path.name == CARD:
            continue
        is_weights = path.suffix in WEIGHTS or path.name.endswith(".index.json")
        if not (is_weights and target.parent in full):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
