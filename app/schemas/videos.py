"""Videos of the library: listing, timeline, adding, ingest."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.schemas.common import RequestModel
from app.schemas.errors import ErrorDetail
from app.schemas.jobs import JobItem


class IngestItem(BaseModel):
    """One video after its ingest."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    chunks: int
    frames_encoded: int
    frames_skipped_static: int
    latent_bytes: int
    wall_s: float
    realtime_factor: float
    model: str
    fps: float
    compression_ratio: int
    warnings: list[str] = Field(default_factory=list)


class IngestResponse(BaseModel):
    """What `ingest` did."""

    videos: list[IngestItem]
    failures: list[ErrorDetail] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Sources of several that could not be read."""


class LibraryItem(BaseModel):
    """One video of the library."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    uri: str
    chunks: int
    latent_bytes: int
    fps: float | None
    compression_ratio: int | None
    warnings: list[str] = Field(default_factory=list)
    error: str | None = Field(default=None, exclude_if=lambda value: value is None)


class LibraryResponse(BaseModel):
    """What `videos list` and `videos show` tell."""

    videos: list[LibraryItem]


class SpriteItem(BaseModel):
    """Stills for scrubbing: ten a row, 160x90 pixels each."""

    url: str
    step_s: float
    count: int


class VideoItem(LibraryItem):
    """A video of the library, as a page shows it."""

    width_px: int | None
    height_px: int | None
    video_codec: str | None
    is_live: bool
    ingested_s: float
    expected_chunks: int | None
    """An estimate from the header's duration until the video is ready."""
    realtime_factor: float | None
    eta_s: float | None
    frames_sampled: int
    frames_skipped_static: int
    job: JobItem | None
    """The ingest job that is under way or waiting."""
    thumb_url: str | None
    play_url: str | None
    play_note: list[str]
    """Why there is nothing to play: a sentence and what will happen."""
    sprite: SpriteItem | None
    hint: str | None


class VideosResponse(BaseModel):
    """The library and the room it has."""

    videos: list[VideoItem]
    total: int
    """Videos on all pages."""
    next: str | None
    """The cursor of the next page; `null` on the last one, and where no limit was given."""
    used_bytes: int
    """Of latents, over all pages."""
    free_bytes: int
    reserve_bytes: int


class TimelineChunk(BaseModel):
    """One chunk as the timeline draws it."""

    start_s: float
    end_s: float
    activity: float
    activity_shown: float
    """Activity against the liveliest chunks of this video, in [0, 1]."""
    similarity: float = 0.0
    """Of the query, against this video's other chunks, in [0, 1]."""


class TimelineResponse(BaseModel):
    """What the timeline of a video shows."""

    video_id: str
    duration_s: float
    ingested_s: float
    chunks: list[TimelineChunk]


class MediaRootsResponse(BaseModel):
    """Folders of the server whose files may be added, and what lies in them."""

    roots: list[str]
    files: list[str]


class AddVideoRequest(RequestModel):
    """A file below one of the configured folders, or a camera."""

    source: str = Field(min_length=1, max_length=4096)
    name: str | None = None
    start_at: datetime | None = None


class RenameVideoRequest(RequestModel):
    """A new name, or the wall clock of the first frame."""

    name: str
