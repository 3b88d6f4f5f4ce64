"""Names of encoders to encoders with their vectors and indexes."""

import torch

from app.config.engine_config import find_model, models_folder
from app.config.index_choice import IndexChoice
from app.config.settings import Settings
from app.config.sight_settings import MODEL_ENCODER
from engine import plugins
from engine.cache.far import ALONE, FarFiles
from engine.device import pick_device
from engine.pipeline.encoder_index import EncoderIndex, open_encoder_index
from engine.protocols import ImageTextEncoder
from engine.sight import encoders
from storage.files import HomeFolder


def open_encoders(
    settings: Settings, index: IndexChoice, *, far: FarFiles = ALONE
) -> tuple[EncoderIndex, ...]:
    """Open the encoders that the settings name, in their order; the model's own is not among them.

    Args:
        far: The store of vectors that other machines share; none without.
    Raises:
        NotFoundError: A checkpoint is not on this machine.
        MissingCapabilityError: A package of weights is not installed.
        WeightsError: A file of weights is damaged or does not fit.
    """
    home = HomeFolder(settings.home)
    device = pick_device(settings.device)
    return tuple(
        open_encoder_index(
            _open(name, settings, device),
            vectors_folder=home.vectors,
            index_folder=home.index,
            backend=index.backend,
            tables=index.tables,
            far=far,
        )
        for name in settings.sight.encoder
        if name != MODEL_ENCODER
    )


def _open(name: str, settings: Settings, device: torch.device) -> ImageTextEncoder:
    kind, _, checkpoint = name.partition(":")
    folder = str(find_model(checkpoint, settings)) if checkpoint else None
    module = plugins.load(encoders, kind, defines=("open_encoder",))
    encoder: ImageTextEncoder = module.open_encoder(
        folder, device=device, cache=models_folder(settings)
    )
    return encoder
