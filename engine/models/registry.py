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
from engine.errors import InputRefusedError, NotFoundError, WeightsError
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.weights import headers_only, read_config
from engine.protocols import VideoModel
from engine.records import LatentKind, Release, WeightFormat

DEFINES = ("VARIANTS", "KEY_MAP", "build", "load", "load_net", "write_tiny")


def load_model(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    adapter_alpha: float | None = None,
    latents: LatentKind | None = None,
    experts: ExpertBudget | None = None,
    weights: WeightFormat = "native",
) -> VideoModel:
    """Load a checkpoint folder with the family that its config names.

    Args:
        folder: The checkpoint, or a folder in which it is the only one.
        device: Where the weights go.
        dtype: What they are cast to.
        adapter_alpha: Strength of the adapters, where the family fuses them at load time;
            `None` takes the released one.
        latents: What is kept of a chunk, where the family leaves the choice; `None` takes its own.
        experts: Bytes of experts that stay near; `None` holds all of them on the device.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        NotFoundError: No config there.
        WeightsError: No family knows the config, or the weights do not fit.
        InputRefusedError: A strength was given, and the family has no adapters; or a kind of
            latents, and it has but one; or a budget of experts, and it has none.
    """
    home = checkpoint_home(folder)
    family = _family_at(home)
    # Each option only where the family's own loader takes it.
    taken, options = signature(family.load).parameters, dict[str, object](weights=weights)
    if adapter_alpha is not None:
        if "alpha" not in taken:
            raise InputRefusedError(
                f"adapter_alpha is {adapter_alpha}, but {family_name(family)} has no adapters of "
                "free strength",
                hint="leave adapter_alpha out",
            )
        options["alpha"] = adapter_alpha
    if latents is not None:
        if "latents" not in taken:
            raise InputRefusedError(
                f"latent_kind is {latents}, but {family_name(family)} keeps latents of one kind",
                hint="leave latent_kind out",
            )
        options["latents"] = latents
    if experts is not None:
        if "experts" not in taken:
            raise InputRefusedError(
                f"a budget of experts is set, but {family_name(family)} has none",
                hint="leave that budget out",
            )
        options["experts"] = experts
    model: VideoModel = family.load(home, device, dtype, **options)
    return model


def checkpoint_home(folder: Path) -> Path:
    """Return the folder itself, or the only one below it that holds a checkpoint."""
    if (folder / "config.json").is_file() or not folder.is_dir():
        return folder
    # Video-XL's repository keeps its checkpoint in a subfolder; towers may lie beside it.
    below = [
        home for path in sorted(folder.glob("*/config.json")) if is_checkpoint(home := path.parent)
    ]
    return below[0] if len(below) == 1 else folder


def is_checkpoint(folder: Path) -> bool:
    """Return whether a family recognises a folder by its config; a tower's it does not."""
    try:
        family_of(read_config(folder))
    except (NotFoundError, WeightsError):
        return False
    return True


def check_headers(folder: Path) -> str:
    """Compare every key and shape of a checkpoint with its family's net; no weight is read.

    Returns:
        The family.
    Raises:
        NotFoundError: No config there.
        WeightsError: No family knows the config, or the weights do not fit.
    """
    home = checkpoint_home(folder)
    family = _family_at(home)
    with headers_only():
        family.load_net(home, torch.device("meta"), torch.bfloat16)
    return family_name(family)


def _family_at(home: Path) -> ModuleType:
    """Return the family of a checkpoint, unless its weights are codes of a quantised release."""
    config = read_config(home)
    family = family_of(config)
    coded = config.get("quantization_config")
    if coded:
        method = coded.get("quant_method", "no method") if isinstance(coded, Mapping) else coded
        raise WeightsError(
            f"the weights of {home} are quantised by {method}, which is not read here",
            hint="take the release in 16 bits; a format of fewer bits is made of it at load time",
        )
    return family


def family_of(config: Mapping[str, Any]) -> ModuleType:
    """Return the family that recognises a config.

    Raises:
        WeightsError: None does.
    """
    names = families()
    for name in names:
        recognise = plugins.load(engine.models, name, entry="recognise", defines=("recognises",))
        if recognise.recognises(config):
            # Only now: the code of six families takes a tenth of a second to import.
            return load_family(name)
    architecture = config.get("architectures") or config.get("model_type")
    raise WeightsError(
        f"no family knows a checkpoint of {architecture}; there are {', '.join(names)}"
    )


def families() -> tuple[str, ...]:
    """Return the names of all families: the folders here that have a `model.py`, sorted.

    Beside it each has a `recognise.py`.
    """
    return plugins.names(engine.models, entry="model")


def releases() -> tuple[Release, ...]:
    """Return what the authors of all families have published."""
    return tuple(
        release for name in families() for release in getattr(load_family(name), "RELEASES", ())
    )


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
