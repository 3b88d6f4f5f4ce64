"""Registry of model families: a checkpoint's family is found by its config.

Decision: a family is recognised by `config.json` alone, because folders get renamed and weights
take minutes to read. Revisit when two families share every field.
"""

from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import engine.models
from engine import plugins
from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.weights import read_config
from engine.protocols import VideoModel

DEFINES = ("VARIANTS", "KEY_MAP", "build", "load", "recognises", "write_tiny")


def load_model(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    adapter_alpha: float | None = None,
) -> VideoModel:
    """Load a checkpoint folder with the family that its config names.

    Args:
        folder: The checkpoint, or a folder in which it is the only one.
        device: Where the weights go.
        dtype: What they are cast to.
        adapter_alpha: Strength of the adapters, where the family fuses them at load time;
            `None` takes the released one.
    Raises:
        NotFoundError: No config there.
        WeightsError: No family knows the config, or the weights do not fit.
        InputRefusedError: A strength was given, and the family has no adapters.
    """
    home = checkpoint_home(folder)
    family = family_of(read_config(home))
    if adapter_alpha is None:
        model: VideoModel = family.load(home, device, dtype)
        return model
    # Only a family that fuses adapters at load time takes a strength.
    if "alpha" not in signature(family.load).parameters:
        name = family_name(family)
        raise InputRefusedError(
            f"adapter_alpha is {adapter_alpha}, but {name} has no adapters of free strength",
            hint="leave adapter_alpha out",
        )
    adapted: VideoModel = family.load(home, device, dtype, alpha=adapter_alpha)
    return adapted


def checkpoint_home(folder: Path) -> Path:
    """Return the folder itself, or the only one below it that holds a checkpoint."""
    if (folder / "config.json").is_file() or not folder.is_dir():
        return folder
    # Video-XL's repository keeps its checkpoint in a subfolder.
    below = sorted(path.parent for path in folder.glob("*/config.json"))
    return below[0] if len(below) == 1 else folder


def family_of(config: Mapping[str, Any]) -> ModuleType:
    """Return the family that recognises a config.

    Raises:
        WeightsError: None does.
    """
    names = families()
    for name in names:
        family = load_family(name)
        if family.recognises(config):
            return family
    architecture = config.get("architectures") or config.get("model_type")
    raise WeightsError(
        f"no family knows a checkpoint of {architecture}; there are {', '.join(names)}"
    )


def families() -> tuple[str, ...]:
    """Return the names of all families: the folders here that have a `model.py`, sorted."""
    return plugins.names(engine.models, entry="model")


def load_family(name: str, *, defines: Iterable[str] = DEFINES) -> ModuleType:
    """Import the `model` module of a family.

    Raises:
        NotFoundError: No such family; the message lists what there is.
        TypeError: The module lacks a name that it must define.
    """
    return plugins.load(engine.models, name, entry="model", defines=defines)


def family_name(family: ModuleType) -> str:
    """Return the name of a family's module: its folder."""
    return family.__name__.split(".")[-2]
