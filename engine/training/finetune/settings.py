"""The settings file of a fine-tuning recipe, and the samples that it names."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import InputRefusedError
from engine.training.data.media import without_unreadable
from engine.training.data.samples import Sample, SampleFile, SampleSource, read_samples
from engine.training.finetune.stage_config import StageConfig

HELD_OUT = 10
"""One sample of so many is held out where no file of held-out ones is named."""

_Settings = TypeVar("_Settings", bound="TuningConfig")
_Stage = TypeVar("_Stage", bound=StageConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """The contents of a recipe's JSON file."""

    model: Path
    data: tuple[SampleSource, ...]
    """Written as one file beside `media`, or as a list of
    `{"file": ..., "media": ..., "weight": ...}`."""
    stage: str = ""
    """One of the recipe's; empty for the first."""
    steps: int = 200
    learning_rate: float | None = None
    """Peak of the fastest part; `None` takes the paper's."""
    samples_per_step: int = 4
    held_out: tuple[SampleSource, ...] = ()
    """Samples to measure on, never learnt, written as `data` is; empty holds out a tenth of it."""
    device: str = "auto"
    bf16: bool | None = None
    """Products in bfloat16; `None` where the device is built for it."""
    gradient_checkpointing: bool | None = None
    """Whether the decoder's layers are computed again in the backward pass, to save memory; `None`
    takes the value of the stage."""

    def __post_init__(self) -> None:
        for name in ("steps", "samples_per_step"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        rate = self.learning_rate
        if rate is not None and (not isinstance(rate, int | float) or rate <= 0):
            raise ValueError(f"learning_rate must be a number above 0, not {rate!r}")
        for name in ("bf16", "gradient_checkpointing"):
            if getattr(self, name) not in (None, False, True):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")

    @property
    def data_files(self) -> str:
        """The files of `data`, for messages."""
        return ", ".join(str(source.file) for source in self.data)


def read_settings(path: Path, kind: type[_Settings]) -> _Settings:
    """Read a recipe's JSON file; paths in it are relative to it.

    Raises:
        InputRefusedError: It is missing, not JSON, or holds an unknown or misses a needed field.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        media = values.pop("media", None)
        values["model"] = path.parent / values["model"]
        values["data"] = _read_sources(values["data"], media, path.parent)
        values["held_out"] = _read_sources(values.get("held_out") or (), media, path.parent)
        known = [field.name for field in fields(kind)]
        for name in values.keys() - set(known):
            near = difflib.get_close_matches(name, [*known, "media"], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no setting {name!r}{hint}")
        return kind(**values)
    except FileNotFoundError as error:
        raise InputRefusedError(
            f"this recipe needs {path}",
            hint='write {"model": ..., "data": "x.jsonl", "media": "folder"} there',
        ) from error
    except KeyError as error:
        raise InputRefusedError(f"{path}: the setting {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InputRefusedError(f"{path}: {error}") from error


def _read_sources(value: Any, media: Any, home: Path) -> tuple[SampleSource, ...]:
    """Read one file, or a list of files that may each have media and a weight of their own."""
    entries: Any = [{"file": value}] if isinstance(value, str) else value
    sources = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() - {"file", "media", "weight"}:
            raise ValueError(f"a source must be file, media and weight, not {entry!r}")
        folder = entry.get("media", media)
        if folder is None:
            raise ValueError(f"the media folder of {entry['file']} is missing")
        weight = entry.get("weight", 1.0)
        if not isinstance(weight, int | float):
            raise ValueError(f"weight of {entry['file']} must be a number, not {weight!r}")
        source = SampleSource(file=home / entry["file"], media=home / folder, weight=float(weight))
        sources.append(source)
    return tuple(sources)


def find_stage(stages: Sequence[_Stage], config: TuningConfig) -> _Stage:
    """Return the stage that the settings name, the first where they name none.

    Raises:
        InputRefusedError: No such stage; the message lists what there is.
    """
    for stage in stages:
        if config.stage in ("", stage.name):
            return stage
    known = ", ".join(stage.name for stage in stages)
    raise InputRefusedError(f"no stage {config.stage!r}; there are {known}")


def recomputes_layers(stage: StageConfig, config: TuningConfig) -> bool:
    """Say whether layers are computed again in the backward pass."""
    wanted = config.gradient_checkpointing
    return stage.gradient_checkpointing if wanted is None else wanted


def read_split(config: TuningConfig) -> tuple[SampleFile, tuple[Sample, ...]]:
    """Read samples to learn, and samples held out.

    Raises:
        InputRefusedError: No usable sample.
    """
    read = read_usable(config.data)
    if config.held_out:
        return read, read_usable(config.held_out).samples
    held_out = read.samples[HELD_OUT - 1 :: HELD_OUT]
    kept = tuple(sample for number, sample in enumerate(read.samples, start=1) if number % HELD_OUT)
    return SampleFile(samples=kept, bad=read.bad), held_out


def read_usable(sources: Sequence[SampleSource]) -> SampleFile:
    """Read the samples of all sources whose media can be read.

    Raises:
        InputRefusedError: None of them can be used.
    """
    files = [read_samples(source.file, source.media, weight=source.weight) for source in sources]
    samples = tuple(sample for file in files for sample in file.samples)
    bad = tuple(sample for file in files for sample in file.bad)
    read = without_unreadable(SampleFile(samples=samples, bad=bad))
    if not read.samples:
        names = ", ".join(str(source.file) for source in sources)
        reason = f": {read.bad[0].location}: {read.bad[0].reason}" if read.bad else ""
        raise InputRefusedError(f"{names} holds no usable sample{reason}")
    return read
