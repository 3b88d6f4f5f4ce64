"""The manifest of footage that is handed on, and what its verification comes to."""

from typing import Final, Literal

from pydantic import Field

from app.schemas.common import Schema

FORMAT: Final = 1
"""Version of the manifest; one of another version is not verified."""


class SeenByItem(Schema):
    """The versions of what looked at the footage of a clip."""

    video_id: str
    """The part of the camera's timeline."""
    pipeline: str | None
    """Fingerprint of model, weights and sampling."""
    model: str | None
    sample_fps: float | None
    encoders: list[str] = Field(default_factory=list)
    observers: dict[str, str] = Field(default_factory=dict)
    """What was observed, and by which model."""


class ClipItem(Schema):
    """A clip without a break in it."""

    file: str
    """Below the folder."""
    sha256: str
    bytes: int
    start_at: str
    """Wall clock of its first picture, in UTC: a copy begins at a keyframe."""
    end_at: str
    clock: str
    """Where its wall clock comes from: `live` is this machine's clock when the picture came."""
    is_copied: bool
    """Whether it is what the camera sent, bit for bit; else it was encoded again."""
    seen_by: SeenByItem | None = None
    """None where the latents of the part were deleted."""


class UnrecordedItem(Schema):
    """A stretch of which there is no clip, in UTC."""

    start_at: str
    end_at: str


class ExportedCameraItem(Schema):
    """A camera with its clips."""

    camera_id: str
    name: str
    timezone: str | None
    clips: list[ClipItem]
    gaps: list[UnrecordedItem]


class RuleVersionItem(Schema):
    """A rule of alerts about these cameras, as it was when they were exported."""

    name: str
    revision: int
    sha256: str
    """Of its definition as JSON with sorted keys."""


class EvidenceManifest(Schema):
    """A list of all that was exported, whose signature is in the file beside it."""

    format: Literal[1] = FORMAT
    made_by: str
    made_at: str
    key: str
    """SHA-256 of the public key that verifies it."""
    start_at: str
    """What was asked for, in UTC."""
    end_at: str
    cameras: list[ExportedCameraItem]
    rules: list[RuleVersionItem]


class EvidenceCheckResponse(Schema):
    """The outcome of a verification that found nothing wrong."""

    message: str
    clips: int
    made_at: str
    key: str
    is_key_known: bool
    """Whether it was given, or is this library's own."""
