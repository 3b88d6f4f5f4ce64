"""Videos of the library: listing, timeline, adding, ingest."""

from datetime import datetime

from pydantic import Field

from app.schemas.common import RequestModel, Schema
from app.schemas.errors import ErrorDetail
from app.schemas.jobs import JobItem


class IngestItem(Schema):
    """The outcome of ingesting one video."""

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


class IngestResponse(Schema):
    """The document of `ingest`."""

    videos: list[IngestItem]
    failures: list[ErrorDetail] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Errors of the sources that could not be read."""
    skipped: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """A line for each folder of which files were left alone."""


class LibraryItem(Schema):
    """A video of the library."""

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


class LibraryResponse(Schema):
    """The document of `videos list` and `videos show`."""

    videos: list[LibraryItem]


class SpriteItem(Schema):
    """A sprite sheet for scrubbing: ten stills a row, 160x90 pixels each."""

    url: str
    step_s: float
    count: int


class VideoItem(LibraryItem):
    """A video of the library, with its progress and playback."""

    width_px: int | None
    height_px: int | None
    video_codec: str | None
    is_live: bool
    ingested_s: float
    expected_chunks: int | None
    """Estimated from the duration in the header until the video is ready."""
    realtime_factor: float | None
    eta_s: float | None
    frames_sampled: int
    frames_skipped_static: int
    job: JobItem | None
    """The ingest job that is running or waiting."""
    thumb_url: str | None
    play_url: str | None
    play_note: list[str]
    """Why the video cannot be played: the reason, and what happens next."""
    sprite: SpriteItem | None
    hint: str | None


class VideosResponse(Schema):
    """A page of the library, and the disk space."""

    videos: list[VideoItem]
    total: int
    """The number of videos on all pages."""
    next: str | None
    """The cursor of the next page; `null` on the last page, and without a limit."""
    used_bytes: int
    """Bytes of latents of all videos."""
    free_bytes: int
    reserve_bytes: int


class TimelineChunk(Schema):
    """A chunk on the timeline."""

    start_s: float
    end_s: float
    activity: float
    activity_shown: float
    """Activity relative to the liveliest chunks of this video, in [0, 1]."""
    similarity: float = 0.0
    """Similarity to the query, relative to the other chunks of this video, in [0, 1]."""


class TimelineResponse(Schema):
    """The timeline of a video."""

    video_id: str
    duration_s: float
    ingested_s: float
    chunks: list[TimelineChunk]


class MediaRootsResponse(Schema):
    """Folders of the server whose files may be added, and the media files in them."""

    roots: list[str]
    files: list[str]


class AddVideoRequest(RequestModel):
    """A file below a configured folder, or the address of a camera."""

    source: str = Field(min_length=1, max_length=4096)
    name: str | None = None
    start_at: datetime | None = None


class RenameVideoRequest(RequestModel):
    """The new name of a video."""

    name: str
