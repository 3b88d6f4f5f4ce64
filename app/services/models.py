"""Models: shipped, pulled and published ones, and checks of a checkpoint folder."""

from pathlib import Path

import torch

from app.config.engine_config import SHIPPED, find_model, models_folder
from app.config.settings import Settings
from app.errors import hint_for
from app.schemas.common import MessageResponse
from app.schemas.models import (
    CheckpointItem,
    EyeItem,
    ModelComparisonItem,
    ModelComparisonResponse,
    ModelOverviewResponse,
    ModelsResponse,
)
from app.schemas.users import ActiveModel
from app.services.access import FULL_ACCESS, Access, visible_text
from app.services.context import ServiceContext
from app.services.model_fit import judge_fit, model_machine
from app.services.observations import missing_parts
from app.services.pull import verify_digests
from app.services.vectors import describe_encoders
from engine import plugins
from engine.errors import LongwatchError
from engine.models import registry
from engine.models.layers.fingerprint import weight_files
from engine.models.layers.weights import read_config
from engine.pipeline.world import read_world
from engine.records import Release
from engine.sight import encoders
from engine.sight.observer import summary_of

LOADED_BELOW_BYTES = 1 << 30
"""Checkpoints below this size are loaded to be checked."""
HOUR_S = 3600
VERIFIED = "its golden cases (make parity) and a tiny checkpoint in the released layout"
"""Of families that say nothing else."""


def list_models(settings: Settings) -> ModelsResponse:
    """Return the checkpoints on this machine, then those published for each family."""
    here = [*_checkpoints(SHIPPED), *_checkpoints(models_folder(settings))]
    local = [
        CheckpointItem(
            name=folder.name.replace("--", "/"),
            family=_family(folder),
            where=str(folder),
            weight_bytes=sum(path.stat().st_size for path in weight_files(folder)),
        )
        for folder in here
    ]
    published = [
        CheckpointItem(
            name=release.repository,
            family=release.card.family,
            parameters=release.parameters,
            weight_bytes=_weight_bytes(release),
            licence=release.licence,
            verified=getattr(registry.load_family(release.card.family), "VERIFIED", VERIFIED),
            note=release.note or None,
        )
        for release in registry.releases()
    ]
    machine = model_machine(settings)
    items = [*local, *published, *_encoders()]
    known = {release.repository: release for release in registry.releases()}
    return ModelsResponse(
        models=[
            judge_fit(item, machine, release=known.get(item.name), weights=settings.weights)
            for item in items
        ]
    )


def show_models(context: ServiceContext, access: Access = FULL_ACCESS) -> ModelOverviewResponse:
    """Return the model that answers, what looks at footage beside it, and the models there are.

    Args:
        access: Of whoever reads it; viewers see no folder.
    """
    models = [
        item.model_copy(update={"where": visible_text(item.where, access)})
        for item in list_models(context.settings).models
    ]
    return ModelOverviewResponse(
        active=active_model(context.settings, access),
        eyes=list_eyes(context),
        machine=model_machine(context.settings),
        models=models,
    )


def list_eyes(context: ServiceContext) -> list[EyeItem]:
    """Return the observers and the encoders of the settings, and what each of them states.

    Cost: the first time encoders are opened, some seconds.
    """
    missing = missing_parts(context.settings)
    observers = [
        EyeItem(name=name, states=summary_of(name), missing=missing.get(name))
        for name in context.settings.sight.observers
    ]
    known = [
        EyeItem(name=item.name, states=item.knows, licence=item.licence, measured=item.measured)
        for item in describe_encoders(context)
    ]
    return [*observers, *known]


def _encoders() -> list[CheckpointItem]:
    """Return the published checkpoints of image-text encoders."""
    return [
        CheckpointItem(
            name=release.repository,
            family=f"encoder {name}",
            weight_bytes=release.weight_bytes,
            licence=release.licence,
            verified="parity with transformers on a tiny checkpoint in the released layout",
            note=release.note or None,
        )
        for name in plugins.names(encoders)
        for release in getattr(
            plugins.load(encoders, name, defines=("open_encoder",)), "RELEASES", ()
        )
    ]


def active_model(settings: Settings, access: Access = FULL_ACCESS) -> ActiveModel:
    """Return the model that answers, and whether it is on this machine.

    Args:
        access: Of whoever reads it; viewers see no folder.
    """
    try:
        folder = find_model(settings.model, settings)
        world = read_world(folder)
    except LongwatchError as error:
        return ActiveModel(
            name=visible_text(settings.model, access) or "",
            ready=False,
            detail=visible_text(f"{error}; {hint_for(error) or ''}", access) or "",
        )
    return ActiveModel(
        name=folder.name,
        ready=True,
        detail=visible_text(str(folder), access) or "",
        note=None if world is None else world.sentence,
    )


def check_model(folder: Path) -> MessageResponse:
    """Check a checkpoint strictly: key by key, and what was pulled byte by byte.

    A small one is loaded whole, so that its fingerprint can be told; of a large one the headers
    are read, in next to no memory.

    Raises:
        WeightsError: A key without a home, a parameter without a key, another shape, or a file
            that changed since it was pulled.
        NotFoundError: There is no checkpoint.
    """
    n_verified = verify_digests(folder)
    digests = f"; {n_verified} files are as they were published" if n_verified else ""
    if sum(path.stat().st_size for path in weight_files(folder)) >= LOADED_BELOW_BYTES:
        family = registry.check_headers(folder)
        return MessageResponse(
            message=f"{folder} fits {family} key by key (headers alone were read){digests}"
        )
    model = registry.load_model(folder, device=torch.device("cpu"), dtype=torch.float32)
    card = model.card
    return MessageResponse(
        message=(
            f"{folder} loads strictly: {card.family}/{card.variant}, fingerprint "
            f"{card.fingerprint[:12]}, {card.chunk_frames} frames a chunk, "
            f"{card.latents_per_chunk} latents of {card.latent_bytes} bytes each{digests}"
        )
    )


def compare_models() -> ModelComparisonResponse:
    """Return the published checkpoints side by side, each at the rate it was meant for."""
    return ModelComparisonResponse(models=[_compare(release) for release in registry.releases()])


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


def _weight_bytes(release: Release) -> int | None:
    """Return the size of published weights, where count and number format of them are known."""
    count, width = release.parameters.removesuffix("B"), release.bytes_per_parameter
    if width is None or not count.replace(".", "").isdigit():
        return None
    return round(float(count) * width * 1e9)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the folders below one that hold a checkpoint, themselves or one level deeper."""
    below = sorted(path for path in folder.glob("*") if path.is_dir())
    return [path for path in below if registry.is_checkpoint(registry.checkpoint_home(path))]


def _family(folder: Path) -> str:
    """Return the family that recognises a checkpoint by its config."""
    config = read_config(registry.checkpoint_home(folder))
    return registry.family_name(registry.family_of(config))
