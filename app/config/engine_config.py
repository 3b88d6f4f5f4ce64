"""Settings to the engine's own configuration, and model names to checkpoint folders."""

from pathlib import Path
from typing import Any

import torch

from app.config.index_choice import IndexChoice
from app.config.settings import Settings
from app.config.weight_settings import WeightSettings
from app.machine import usable_cores
from engine.cache.budget import CacheConfig
from engine.errors import NotFoundError
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.models.layers.expert_budget import ExpertBudget
from engine.pipeline.config import EngineConfig, ModelConfig
from storage.files import HomeFolder

SMALL_MODEL_BYTES = 256 << 20
"""Below this, layers are too small for several threads to share."""

_MODEL_DEPTHS = ("", "*/", "*/*/")
"""Some releases keep each part in a folder of its own."""
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "models"
"""Checkpoints that come with Longwatch."""


def find_model(name: str, settings: Settings) -> Path:
    """Return the folder of a model: `nano`, a folder, or a pulled `org/name[@revision]`.

    Raises:
        NotFoundError: None of these; the message says what would bring it.
    """
    shipped = SHIPPED / name
    if "/" not in name and (shipped / "config.json").is_file():
        return shipped
    given = Path(name).expanduser()
    if given.is_dir():
        if not _holds_model(given):
            raise NotFoundError(
                f"no model lies in the folder {name}",
                hint="give a folder with config.json and the weights beside it",
            )
        return given
    pulled = models_folder(settings) / name.replace("/", "--")
    if pulled.is_dir():
        return pulled
    if _is_repository(name):
        raise NotFoundError(
            f"the model {name} is not on this machine", hint=f"longwatch models pull {name}"
        )
    raise NotFoundError(
        f"no model {name!r}", hint="use nano, a checkpoint folder, or org/name[@revision]"
    )


def require_model(settings: Settings) -> None:
    """Refuse a model that no download would bring: a mistyped name, a folder that holds none.

    For what runs on and on: the mistake is told at its start, not to whoever asks first.

    Raises:
        NotFoundError: As `find_model`, but for an `org/name` that may still be pulled.
    """
    try:
        find_model(settings.model, settings)
    except NotFoundError:
        if not _is_repository(settings.model):
            raise


def _is_repository(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def _holds_model(folder: Path) -> bool:
    """Return whether a folder has a configuration and weights, itself or somewhat below."""
    configs = (path for depth in _MODEL_DEPTHS for path in folder.glob(f"{depth}config.json"))
    weights = (
        path
        for depth in _MODEL_DEPTHS
        for suffix in _WEIGHT_SUFFIXES
        for path in folder.glob(f"{depth}*{suffix}")
    )
    return any(configs) and any(weights)


def choose_threads(folder: Path) -> None:
    """Give a small model one thread of torch, a large one all cores that may be used.

    Layers of a few hundred columns lose more to the threads waiting for one another than they
    gain: on two busy cores the 0.2 M tiny variant took ten minutes of video in 39 s with two
    threads and in 7 s with one (`longwatch ingest`, 2-core AMD EPYC, 2026-11-21).
    """
    weight_bytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    is_small = weight_bytes < SMALL_MODEL_BYTES
    # Torch counts the processors of the machine, of which a container may have a few.
    torch.set_num_threads(1 if is_small else min(torch.get_num_threads(), usable_cores()))


def models_folder(settings: Settings) -> Path:
    """Return the folder of pulled checkpoints."""
    return settings.paths.models or HomeFolder(settings.home).models


def engine_config(settings: Settings, index: IndexChoice) -> EngineConfig:
    """Return the engine's configuration; where a setting is `None`, its own default holds."""
    stream, cache, sampling = settings.stream, settings.cache, settings.sampling
    home = HomeFolder(settings.home)
    return EngineConfig(
        model=ModelConfig(
            folder=find_model(settings.model, settings),
            device=settings.device,
            dtype=settings.dtype,
            adapter_alpha=settings.adapter_alpha,
            latent_kind=stream.latent_kind,
            experts=_expert_budget(settings.weights),
            weights=settings.weights.format,
            compression_ratio=stream.compression_ratio,
            max_past_latents=None if stream.max_past_latents == "all" else stream.max_past_latents,
        ),
        latents_folder=home.latents,
        index_folder=home.index,
        sampling=SamplingConfig(
            fps=float(sampling.fps),
            keyframe_s=float(sampling.keyframe_s),
            thin_static=sampling.thin_static,
            **_given(static_threshold=sampling.static_threshold, heartbeat_s=sampling.heartbeat_s),
        ),
        cache=CacheConfig(
            **_given(
                device_bytes=cache.device_bytes,
                host_bytes=cache.host_bytes,
                disk_bytes=cache.disk_bytes,
                storage=stream.latent_format,
            )
        ),
        index_backend=index.backend,
        vector_tables=index.tables,
    )


def _expert_budget(weights: WeightSettings) -> ExpertBudget | None:
    """Return the budget of experts; `None` where all are held on the device."""
    if weights.expert_device_bytes is None:
        return None
    return ExpertBudget(
        device_bytes=int(weights.expert_device_bytes), host_bytes=int(weights.expert_host_bytes)
    )


def media_limits(settings: Settings, video_track: int | None = None) -> MediaLimits:
    """Return how foreign media is opened.

    Args:
        video_track: The stream that was chosen for a video; the main picture when `None`.
    """
    limits = settings.limits
    return MediaLimits(
        max_bytes=int(limits.upload_bytes),
        max_duration_s=float(limits.duration_s),
        max_side_px=max(limits.height_px, limits.width_px),
        max_fps=float(limits.fps),
        max_streams=limits.streams,
        allow_http=settings.allow_network,
        video_track=video_track,
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
