"""Saves and resumes a run: weights, optimiser, step; written beside its name, then renamed."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from engine.errors import DiskFullError, UnreachableError, WeightsError
from engine.files import atomic_write, is_out_of_space
from engine.training.sharding import is_sharded, part_of

FILE = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
VERSION = 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def training_state(model: nn.Module, optimiser: Optimizer) -> dict[str, Any]:
    """Return the values that steps change.

    Args:
        model: With its buffers.
        optimiser: Of the model's parameters.
    """
    return {"model": model.state_dict(), "optimiser": optimiser.state_dict()}


def save_state(
    folder: Path, values: Mapping[str, Any], step: int, *, plan: Mapping[str, Any]
) -> None:
    """Write everything that the next step depends on; a kill or a lost disk leaves the old file.

    Args:
        folder: Created if missing.
        values: Of `training_state`, whole.
        step: Steps done.
        plan: Numbers that must not change between runs; compared when resuming.
    Raises:
        DiskFullError: No space; the checkpoint before this one stands.
        UnreachableError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    state = {"version": VERSION, "step": step, "plan": dict(plan), **values}
    with (
        writing(folder, step),
        atomic_write(path, single_writer=True) as temporary,
        # Given a name, torch reports a full disk as a bare RuntimeError.
        temporary.open("wb") as file,
    ):
        torch.save(state, file)


@contextmanager
def writing(folder: Path, step: int) -> Iterator[None]:
    """Translate errors of the disk while a step is written.

    Raises:
        DiskFullError: No space; the last checkpoint stands.
        UnreachableError: The folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(
                f"{folder}: no space left to save step {step}",
                hint="free some space and resume the run",
            ) from error
        raise UnreachableError(f"{folder}: cannot be written ({error.strerror})") from error


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: Optimizer,
    *,
    plan: Mapping[str, Any],
    older_defaults: Mapping[str, Any] = _NOTHING,
) -> int:
    """Restore a run; 0 where there is none yet.

    Args:
        folder: As it was saved to.
        model: Of the same shapes; may lie on another device, or in parts over processes, each of
            which then reads its own.
        optimiser: Of the model's parameters.
        plan: As of the run that goes on.
        older_defaults: Values of fields that the plan of an older checkpoint does not have.
    Returns:
        Steps done.
    Raises:
        WeightsError: The file is damaged, or was written by another version, with another plan
            or from a model of other shapes.
    Cost: reads the file twice, once for its checksums.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    state = _read(path, is_mapped=is_sharded(model))
    saved = {**older_defaults, **state["plan"]}
    changed = sorted(key for key in {*saved, *plan} if saved.get(key, ...) != plan.get(key, ...))
    if changed:
        differences = (
            f"{key} differs ({saved.get(key)} there, {plan.get(key)} here)" for key in changed
        )
        raise _of_another_run(path, ", ".join(differences))
    try:
        model.load_state_dict(_parts(state["model"], model))
        optimiser.load_state_dict(_optimiser_parts(state["optimiser"], optimiser))
    except (RuntimeError, ValueError) as error:
        raise _of_another_run(path, "the model has other parts or shapes") from error
    step: int = state["step"]
    return step


def load_learnt(folder: Path, model: nn.Module) -> None:
    """Give a model the weights of a checkpoint, to be exported.

    Args:
        folder: Of a run.
        model: The parts that learnt, on the CPU.
    """
    model.load_state_dict(_read(folder / FILE, is_mapped=True)["model"])


def set_aside(folder: Path) -> None:
    """Keep the checkpoint of an earlier run under another name, so that a new one begins."""
    if (folder / FILE).is_file():
        (folder / FILE).replace(folder / PREVIOUS)


def _parts(saved: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    own = model.state_dict()
    return {
        name: part_of(value, own[name]) if name in own else value for name, value in saved.items()
    }


def _optimiser_parts(saved: Mapping[str, Any], optimiser: Optimizer) -> dict[str, Any]:
    """Return the optimiser's state, its tensors in parts where their parameters are."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    parts = {
        number: {name: part_of(value, weights[number]) for name, value in values.items()}
        for number, values in saved["state"].items()
    }
    return {**saved, "state": parts}


def _read(path: Path, *, is_mapped: bool) -> dict[str, Any]:
    try:
        # torch checks no checksum: a flipped bit would go on learning.
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise _is_damaged(path, "cut short") from error
    if damaged is not None:
        raise _is_damaged(path, f"bad checksum in {damaged}")
    try:
        # Mapped, a process's memory takes only the parts that it reads.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise _of_another_run(path, "it is no checkpoint of a run") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise _of_another_run(path, "version differs")
    return state


def _is_damaged(path: Path, damage: str) -> WeightsError:
    return WeightsError(
        f"{path} is damaged ({damage}) and cannot be resumed",
        hint=f"put a copy in its place, or delete it to begin {path.parent.name} again",
    )


def _of_another_run(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} belongs to another run: {reason}",
        hint="train into another folder, or delete the checkpoint",
    )
