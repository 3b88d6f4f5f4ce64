"""Checkpoints: those installed, those available, what an hour of video costs with each."""

from app.schemas.common import Schema


class CheckpointItem(Schema):
    """A checkpoint that is installed, or that can be pulled."""

    name: str
    family: str
    where: str | None = None
    """The folder; `null` where it is not installed."""
    parameters: str | None = None
    weight_bytes: int | None = None
    licence: str | None = None
    verified: str | None = None
    note: str | None = None


class ModelsResponse(Schema):
    """The document of `models list`."""

    models: list[CheckpointItem]


class ModelComparisonItem(Schema):
    """The cost of an hour of video with one checkpoint, at its intended frame rate."""

    name: str
    family: str
    fps: float
    visual_tokens_per_frame: int
    kept_per_frame: float
    bytes_per_hour: int
    latents_per_hour: int
    positions: int
    best_at: str


class ModelComparisonResponse(Schema):
    """The document of `models compare`."""

    models: list[ModelComparisonItem]
