"""Memory that a model needs, beside what this machine has: sums, no measurement."""

from typing import Final

import psutil
import torch

from app.config.settings import Settings
from app.schemas.models import CheckpointItem, ModelMachine
from engine.device import pick_device

LATENT_BYTES: Final = 4 << 30
"""Most latents near the model: the budget by which `docs/models.md` computes its table."""
WORK_BYTES: Final = 2 << 30
"""Most for activations and buffers: those of a 7B model."""
BASE_BYTES: Final = 512 << 20
"""Of the process itself: torch, the library, frames on their way."""


def model_machine(settings: Settings) -> ModelMachine:
    """Return the device of the settings and its memory."""
    device = pick_device(settings.device)
    if device.type == "cuda":
        memory_bytes = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        memory_bytes = int(psutil.virtual_memory().total)
    return ModelMachine(device=str(device), memory_bytes=memory_bytes)


def needed_bytes(weight_bytes: int, *, parameters: str | None = None, on_cpu: bool) -> int:
    """Return the memory that a checkpoint needs.

    Args:
        weight_bytes: Of its files.
        parameters: Such as `7B`; files in 16 bits where it is not known.
        on_cpu: Whether weights are held in 32 bits, as a CPU computes.
    """
    count = (parameters or "").removesuffix("B")
    n_parameters = float(count) * 1e9 if count.replace(".", "", 1).isdigit() else weight_bytes / 2
    held_bytes = round(n_parameters * (4 if on_cpu else 2))
    # Small models keep small latents.
    near_bytes = min(LATENT_BYTES, held_bytes // 2) + min(WORK_BYTES, held_bytes // 4)
    return held_bytes + near_bytes + BASE_BYTES


def judge_fit(item: CheckpointItem, machine: ModelMachine) -> CheckpointItem:
    """Return a checkpoint with the memory that it needs here, and whether that is there."""
    if item.weight_bytes is None:
        return item
    memory_bytes = needed_bytes(
        item.weight_bytes, parameters=item.parameters, on_cpu=machine.device == "cpu"
    )
    fits = memory_bytes <= machine.memory_bytes
    return item.model_copy(update={"memory_bytes": memory_bytes, "fits": fits})
