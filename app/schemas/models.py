"""Checkpoints: those installed, those available, what an hour of video costs with each."""

from app.schemas.common import Schema
from app.schemas.users import ActiveModel


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
    memory_bytes: int | None = None
    """Weights as this machine would hold them, latents near them and room to work; computed."""
    fits: bool | None = None
    """Whether this machine has so much memory; `null` where the size is not known."""


class ModelsResponse(Schema):
    """The document of `models list`."""

    models: list[CheckpointItem]


class EyeItem(Schema):
    """An observer or encoder that looks at footage here."""

    name: str
    states: str
    """What it states or knows, in a sentence."""
    licence: str = ""
    measured: str = ""
    missing: str | None = None
    """The part that this machine lacks, with what brings it."""


class ModelMachine(Schema):
    """The memory that a model would have here."""

    device: str
    memory_bytes: int
    """All of it, not what is free at the moment."""


class ModelOverviewResponse(Schema):
    """The model that answers, what looks at footage beside it, and the models there are."""

    active: ActiveModel
    eyes: list[EyeItem]
    machine: ModelMachine
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


class PulledRepository(Schema):
    """A repository of the hub that a pull fetches."""

    name: str
    licence: str
    bytes: int


class PullPlan(Schema):
    """Files that a pull is going to fetch, and what they need."""

    name: str
    repositories: list[PulledRepository]
    missing_bytes: int
    """Of files that are not here yet."""
    free_bytes: int
    memory_bytes: int
    """Of the weights as they are stored: what the device has to hold beside latents."""
    folder: str
