"""Saves and resumes a run: weights, optimiser, step; written beside its name, then renamed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from engine.errors import WeightsError

FILE = "checkpoint.pt"
VERSION = 1


def save_checkpoint(
    folder: Path, model: nn.Module, optimiser: Optimizer, step: int, *, plan: Mapping[str, Any]
) -> None:
    """Write everything that the next step depends on.

    Args:
        folder: Made if missing.
        model: With its buffers.
        optimiser: Of the model's parameters.
        step: Steps done.
        plan: Numbers that must not change between runs; compared when resuming.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{FILE}.{os.getpid()}"
    state = {
        "version": VERSION,
        "step": step,
        "plan": dict(plan),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / FILE)


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: Optimizer, *, plan: Mapping[str, Any]
) -> int:
    """Restore a run; 0 where there is none yet.

    Returns:
        Steps done.
    Raises:
        WeightsError: It was written by another version or with another plan.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["version"] != VERSION or state["plan"] != dict(plan):
        changed = sorted(
            key
            for key in {*state["plan"], *plan}
            if state["plan"].get(key, ...) != plan.get(key, ...)
        )
        raise WeightsError(
            f"{path} belongs to another run: {', '.join(changed) or 'version'} differs",
            hint="train into another folder, or delete the checkpoint",
        )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    step: int = state["step"]
    return step
