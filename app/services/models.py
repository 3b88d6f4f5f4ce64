"""Models: shipped, pulled and published ones, and checks of a checkpoint folder."""

from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from app.config.engine_config import SHIPPED, find_model, models_folder
from app.config.settings import Settings
from app.errors import hint_for
from app.schemas.common import MessageResponse
from app.schemas.models import (
    CheckpointItem,
    ModelComparisonItem,
    ModelComparisonResponse,
    ModelsResponse,
)
from app.schemas.users import ActiveModel
from app.services.access import FULL_ACCESS, Access, visible_text
from engine.errors import InputRefusedError, LongwatchError, UnreachableError, WeightsError
from engine.models import registry
from engine.models.layers.weights import read_config
from engine.records import Release

PULLED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.bin")
"""Weights, configs and tokenizers; never code. Pickled weights are read without their code."""

HOUR_S = 3600
VERIFIED = "its golden cases (make parity) and a tiny checkpoint in the released layout"


def list_models(settings: Settings) -> ModelsResponse:
    """Return the checkpoints on this machine, then those published for each family."""
    here = [*_checkpoints(SHIPPED), *_checkpoints(models_folder(settings))]
    local = [
        CheckpointItem(name=folder.name.replace("--", "/"), family=family, where=str(folder))
        for folder in here
        if (family := _family(folder)) is not None
    ]
    published = [
        CheckpointItem(
            name=release.repository,
            family=release.card.family,
            parameters=release.parameters,
            weight_bytes=_weight_bytes(release),
            licence=release.licence,
            verified=VERIFIED,
            note=release.note or None,
        )
        for release in _releases()
    ]
    return ModelsResponse(models=[*local, *published])


def active_model(settings: Settings, access: Access = FULL_ACCESS) -> ActiveModel:
    """Return the model that answers, and whether it is on this machine.

    Args:
        access: Of whoever reads it; viewers see no folder.
    """
    try:
        folder = find_model(settings.model, settings)
    except LongwatchError as error:
        return ActiveModel(
            name=visible_text(settings.model, access) or "",
            ready=False,
            detail=visible_text(f"{error}; {hint_for(error) or ''}", access) or "",
        )
    detail = visible_text(str(folder), access) or ""
    return ActiveModel(name=folder.name, ready=True, detail=detail)


def pull_model(name: str, settings: Settings) -> MessageResponse:
    """Fetch a checkpoint from the model hub, because the user asked for it; nothing else does.

    Args:
        name: `org/name`, or `org/name@revision`.
    Raises:
        InputRefusedError: Not such a name.
        UnreachableError: The hub cannot be reached, or has no such model.
    """
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise InputRefusedError(f"{name!r} is no model of the hub", hint="org/name[@revision]")
    folder = models_folder(settings) / name.replace("/", "--")
    try:
        snapshot_download(
            repository, revision=revision or None, local_dir=folder, allow_patterns=list(PULLED)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreachableError(
            f"{name} cannot be fetched: {reason}",
            hint="check name and network; HF_TOKEN opens gated models, HF_ENDPOINT names a mirror",
        ) from error
    return MessageResponse(message=f"{name} lies in {folder}; use it with --model {name}")


def check_model(folder: Path) -> MessageResponse:
    """Load a checkpoint strictly, on the CPU.

    Raises:
        WeightsError: A key without a home, a parameter without a key, or another shape.
        NotFoundError: There is no checkpoint.
    """
    model = registry.load_model(folder, device=torch.device("cpu"), dtype=torch.float32)
    card = model.card
    return MessageResponse(
        message=(
            f"{folder} loads strictly: {card.family}/{card.variant}, fingerprint "
            f"{card.fingerprint[:12]}, {card.chunk_frames} frames a chunk, "
            f"{card.latents_per_chunk} latents of {card.latent_bytes} bytes each"
        )
    )


def compare_models() -> ModelComparisonResponse:
    """Return the published checkpoints side by side, each at the rate it was meant for."""
    return ModelComparisonResponse(models=[_compare(release) for release in _releases()])


def _compare(release: Release) -> ModelComparisonItem:
    card = release.card
    chunks_per_hour = HOUR_S * release.fps / card.chunk_frames
    family = registry.load_family(card.family, defines=("BEST_AT",))
    return ModelComparisonItem(
        name=release.repository,
        family=card.family,
        fps=release.fps,
        visual_tokens_per_frame=card.tokens_per_frame,
        kept_per_frame=card.latents_per_chunk / card.chunk_frames,
        bytes_per_hour=card.bytes_per_hour(release.fps),
        latents_per_hour=round(chunks_per_hour * card.latents_per_chunk),
        positions=card.max_positions,
        best_at=family.BEST_AT,
    )


def _releases() -> list[Release]:
    return [
        release
        for name in registry.families()
        for release in getattr(registry.load_family(name), "RELEASES", ())
    ]


def _weight_bytes(release: Release) -> int | None:
    """Return two bytes a parameter, as all of them are published in 16 bits."""
    count = release.parameters.removesuffix("B")
    return round(float(count) * 2e9) if count.replace(".", "").isdigit() else None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/config.json"))


def _family(folder: Path) -> str | None:
    """Return the family that recognises a checkpoint by its config; `None` where none does."""
    try:
        return registry.family_name(registry.family_of(read_config(folder)))
    except WeightsError:
        return None
