"""Checkpoints: those installed, those available, what an hour of video costs with each."""

from pydantic import BaseModel


class CheckpointItem(BaseModel):
    """A checkpoint that is here, or that can be had."""

    name: str
    family: str
    where: str | None = None
    """Its folder; nothing where it is only published."""
    parameters: str | None = None
    weight_bytes: int | None = None
    licence: str | None = None
    verified: str | None = None
    note: str | None = None


class ModelsResponse(BaseModel):
    """What `models list` tells."""

    models: list[CheckpointItem]


class ModelComparisonItem(BaseModel):
    """What an hour of video costs with one checkpoint, at the rate it was meant for."""

    name: str
    family: str
    fps: float
    visual_tokens_per_frame: int
    kept_per_frame: float
    bytes_per_hour: int
    latents_per_hour: int
    positions: int
    best_at: str


class ModelComparisonResponse(BaseModel):
    """What `models compare` tells."""

    models: list[ModelComparisonItem]
