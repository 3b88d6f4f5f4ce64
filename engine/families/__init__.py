"""Model families, one file each, found by what they say of a checkpoint's config.

Decision: a family is recognised by `config.json` alone, because folders get renamed and weights
take minutes to read. Revisit when two families share every field.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import engine.families
from engine import plugins
from engine.errors import WeightsError
from engine.nn.weights import read_config
from engine.protocols import VideoModel

DEFINES = ("VARIANTS", "KEY_MAP", "build", "load", "recognises", "write_tiny")


def load_model(folder: Path, *, device: torch.device, dtype: torch.dtype) -> VideoModel:
    """Load a checkpoint folder with the family that its config names.

    Args:
        folder: The checkpoint, or a folder in which it is the only one.
        device: Where the weights go.
        dtype: What they are cast to.
    Raises:
        NotFoundError: No config there.
        WeightsError: No family knows the config, or the weights do not fit.
    """
    home = checkpoint_home(folder)
    model: VideoModel = family_of(read_config(home)).load(home, device, dtype)
    return model


def checkpoint_home(folder: Path) -> Path:
    """The folder itself, or the one below it that holds the checkpoint."""
    if (folder / "config.json").is_file() or not folder.is_dir():
        return folder
    below = sorted(path.parent for path in folder.glob("*/config.json"))
    return below[0] if len(below) == 1 else folder


def family_of(config: Mapping[str, Any]) -> ModuleType:
    """The family file that recognises a config.

    Raises:
        WeightsError: None does.
    """
    known = plugins.names(engine.families)
    for name in known:
        family = plugins.load(engine.families, name, defines=DEFINES)
        if family.recognises(config):
            return family
    said = config.get("architectures") or config.get("model_type")
    raise WeightsError(f"no family knows a checkpoint of {said}; there are {', '.join(known)}")
