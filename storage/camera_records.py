"""Records of cameras: what each is, what is kept of it, and the files of its recording."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.records import VideoId
from storage.records import CameraId

CameraTransport = Literal["auto", "tcp", "udp"]
CameraState = Literal["off", "starting", "live", "stalled", "unreachable", "refused"]
"""How a camera is doing: not filmed, being connected to, sending pictures, connected and silent,
not to be reached, or reached and refusing (a password, a format)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRetention:
    """Limits on the recordings, stills and latents of a camera; `None` sets none."""

    segment_days: float | None = None
    segment_bytes: int | None = None
    still_days: float | None = None
    still_bytes: int | None = None
    latent_days: float | None = None
    latent_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRow:
    """A camera, whose videos are the parts of one timeline."""

    id: CameraId
    name: str
    """Unique, whatever the case."""
    address: str
    """Without what may be secret in it; whole only in the folder of secrets."""
    timezone: str | None
    """Where it hangs: an IANA name or an offset; `None` means the zone of the settings."""
    fps: float | None
    """Frames sampled a second; `None` takes the setting."""
    watch: tuple[str, ...]
    """Observers that look at it; empty means those of the settings."""
    records: bool
    """Whether its pictures are kept as they are sent, beside stills and latents."""
    records_sound: bool
    """Whether its sound is kept beside them."""
    transport: CameraTransport
    """How it sends them over RTSP: `auto` is TCP, and UDP where it does that alone."""
    retention: CameraRetention
    enabled: bool
    state: CameraState
    state_since: datetime
    state_note: str
    """Why it is in this state, as the user reads it; may be empty."""
    last_frame_at: datetime | None
    n_connects: int
    """Connections that brought a picture: one more than how often it came back."""
    frames_dropped: int
    """Frames that came faster than they could be looked at."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A file of a camera's recording."""

    camera: CameraId
    name: str
    """Of the file in the folder of the camera."""
    video: VideoId | None
    """The part of the timeline that was read from the same pictures; `None` once that is gone."""
    start_at: datetime
    start_s: float
    """Of its first frame on the clock of the video."""
    end_s: float
    n_bytes: int
    is_open: bool
    """Whether it is being written."""

    @property
    def end_at(self) -> datetime:
        """The wall clock at its end."""
        return self.start_at + timedelta(seconds=self.end_s - self.start_s)
