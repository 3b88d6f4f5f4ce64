"""Cameras: what each is, how it is doing, and what lies on its timeline."""

from pydantic import ByteSize, Field

from app.schemas.common import RequestModel, Schema
from storage.camera_records import CameraState, CameraTransport

_DAYS = Field(default=None, ge=0.001, le=36500)
_BYTES = Field(default=None, ge=1, le=1 << 60)


class RetentionItem(Schema):
    """The limits up to which recordings, stills and latents of a camera are kept."""

    recording_days: float | None = None
    recording_bytes: int | None = None
    still_days: float | None = None
    still_bytes: int | None = None
    latent_days: float | None = None
    latent_bytes: int | None = None


class StretchItem(Schema):
    """A stretch of a camera's timeline, in local time of the camera."""

    start_at: str
    end_at: str
    video_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The part that was filmed then; none of a gap."""
    is_gap: bool
    """Whether nothing was filmed: nobody knows what happened then."""


class PictureItem(Schema):
    """A still of a camera."""

    url: str
    at: str
    """Local time of the camera."""


class CameraItem(Schema):
    """A camera and how it is doing."""

    camera_id: str
    name: str
    address: str | None
    """Without its password; `null` for a viewer."""
    timezone: str | None
    fps: float | None
    """Frames sampled a second; `null` takes the setting."""
    watch: list[str]
    """Observers that look at it; empty means those of the settings."""
    records: bool
    """Whether its pictures are recorded as they are sent."""
    records_sound: bool
    """Whether its sound is recorded beside them."""
    transport: CameraTransport
    """How it sends them over RTSP; `auto` is TCP, and UDP where it does that alone."""
    retention: RetentionItem
    enabled: bool
    state: CameraState
    since: str
    """When it came into this state."""
    note: str
    """Why it is in this state."""
    worker: str | None
    """Machine and process that film it; `null` where none does, and for a viewer."""
    last_frame_at: str | None
    last_picture_url: str | None
    pictures: list[PictureItem] = Field(default_factory=list)
    """Stills spread over the latest hour that was filmed without a break, oldest first."""
    reconnects: int
    frames_dropped: int
    """Frames that came faster than they could be looked at."""
    parts: int
    """Videos on its timeline."""
    filmed_s: float
    recorded_bytes: int
    recorded_bytes_per_hour: float | None
    """Over the latest hour that was recorded; `null` where nothing is."""
    latent_bytes: int
    first_at: str | None
    """The beginning of its timeline."""
    timeline: list[StretchItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """What was filmed and what was not, in order; only of a single camera."""


class CamerasResponse(Schema):
    """The document of `cameras list` and `cameras show`."""

    cameras: list[CameraItem]


class CameraTrialResponse(Schema):
    """The picture that a camera sends."""

    address: str
    container: str
    video_codec: str | None
    width_px: int
    height_px: int
    fps: float | None
    has_audio: bool
    took_s: float
    warnings: list[str] = Field(default_factory=list)


class CameraFields(RequestModel):
    """Fields that may be set of a camera; one that is left out stays as it is."""

    timezone: str | None = Field(default=None, max_length=64)
    """Where it hangs: `Europe/Berlin`, or an offset such as `+05:30`."""
    fps: float | None = Field(default=None, ge=0.001, le=240)
    watch: list[str] | None = Field(default=None, max_length=16)
    """Observers that look at it; those of the settings when empty."""
    records: bool | None = None
    records_sound: bool | None = None
    transport: CameraTransport | None = None
    """How it sends pictures over RTSP: `auto` is TCP, and UDP where it does that alone."""
    recording_days: float | None = _DAYS
    recording_bytes: ByteSize | None = _BYTES
    still_days: float | None = _DAYS
    still_bytes: ByteSize | None = _BYTES
    latent_days: float | None = _DAYS
    latent_bytes: ByteSize | None = _BYTES


class AddCameraRequest(CameraFields):
    """A camera to add."""

    name: str = Field(min_length=1, max_length=256)
    address: str = Field(min_length=1, max_length=4096)


class ChangeCameraRequest(CameraFields):
    """Changes of a camera: a field that is left out stays, `null` removes what was set."""

    name: str | None = Field(default=None, max_length=256)
    address: str | None = Field(default=None, max_length=4096)
    enabled: bool | None = None


class TryCameraRequest(RequestModel):
    """An address to try before a camera is added."""

    address: str = Field(min_length=1, max_length=4096)
