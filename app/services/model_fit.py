"""Memory that a model needs, beside what this machine has: sums, no measurement."""

from typing import Final

import torch

from app.config.settings import Settings
from app.config.weight_settings import WeightSettings
from app.machine import total_memory_bytes
from app.schemas.models import CheckpointItem, ModelMachine
from engine.device import pick_device
from engine.records import Release

LATENT_BYTES: Final = 4 << 30
"""Most latents near the model: the budget by which `docs/models.md` computes its table."""
WORK_BYTES: Final = 2 << 30
"""Most for activations and buffers: those of a 7B model."""
BASE_BYTES: Final = 512 << 20
"""Of the process itself: torch, the library, frames on their way."""
BYTES_HELD: Final = {"int8": 1.0, "nf4": 0.516}
"""Of a weight in the layers of a decoder, scales included."""


def model_machine(settings: Settings) -> ModelMachine:
    """Return the device of the settings and its memory."""
    device = pick_device(settings.device)
    if device.type == "cuda":
        memory_bytes = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        memory_bytes = total_memory_bytes()
    return ModelMachine(device=str(device), memory_bytes=memory_bytes)


def needed_bytes(
    weight_bytes: int,
    *,
    parameters: str | None = None,
    on_cpu: bool,
    layer_parameters: int = 0,
    expert_parameters: int = 0,
    weights: WeightSettings | None = None,
) -> int:
    """Return the memory that a checkpoint needs near the model, as the settings hold its weights.

    Args:
        weight_bytes: Of its files.
        parameters: Such as `7B`; files in 16 bits where it is not known.
        on_cpu: Whether weights are held in 32 bits, as a CPU computes.
        layer_parameters: Those that 8 or 4 bits hold; none where it is not known, so that a
            model is rather said to be too large.
        expert_parameters: Those that a budget may leave away.
        weights: The settings; everything in the device's format when `None`.
    """
    count = (parameters or "").removesuffix("B")
    n_parameters = float(count) * 1e9 if count.replace(".", "", 1).isdigit() else weight_bytes / 2
    native = 4 if on_cpu else 2
    held_bytes = native * n_parameters
    form = "native" if weights is None else weights.format
    budget = None if weights is None else weights.expert_device_bytes
    n_small = layer_parameters if form in BYTES_HELD else 0
    if budget is not None and expert_parameters:
        # Those that a budget leaves away are read in the device's format, never in fewer bits.
        away_bytes = native * expert_parameters
        held_bytes += min(away_bytes, int(budget)) - away_bytes
        n_small = max(0, n_small - expert_parameters)
    held_bytes -= (native - BYTES_HELD.get(form, native)) * min(n_small, n_parameters)
    held_bytes = round(held_bytes)
    # Small models keep small latents.
    near_bytes = min(LATENT_BYTES, held_bytes // 2) + min(WORK_BYTES, held_bytes // 4)
    return held_bytes + near_bytes + BASE_BYTES


def judge_fit(
    item: CheckpointItem,
    machine: ModelMachine,
    *,
    release: Release | None = None,
    weights: WeightSettings | None = None,
) -> CheckpointItem:
    """Return a checkpoint with the memory that it needs here, and whether that is there.

    Args:
        item: As it is listed.
        machine: The device of the settings.
        release: That the checkpoint is of, where it is one: it says what weights are made of.
        weights: How the settings hold weights.
    """
    if item.weight_bytes is None:
        return item
    memory_bytes = needed_bytes(
        item.weight_bytes,
        parameters=item.parameters or (None if release is None else release.parameters),
        on_cpu=machine.device == "cpu",
        layer_parameters=0 if release is None else release.layer_parameters,
        expert_parameters=0 if release is None else release.expert_parameters,
        weights=weights,
    )
    fits = memory_bytes <= machine.memory_bytes
    return item.model_copy(update={"memory_bytes": memory_bytes, "fits": fits})
