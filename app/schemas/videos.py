"""Videos of the library: listing, timeline, adding, ingest."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from app.schemas.common import RequestModel, Schema
from app.schemas.errors import ErrorDetail
from app.schemas.jobs import JobItem
from app.schemas.observations import ObservedItem
from storage.records import StartSource


class IngestItem(Schema):
    """The outcome of ingesting one video."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    start_source: StartSource | None = Field(default=None, exclude_if=lambda value: value is None)
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


class RecordingItem(Schema):
    """The place of a video among the files into which a camera has cut a recording."""

    name: str
    part: int
    """Counts from 1."""
    parts: int
    missing: list[int] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Parts that are not in the library."""


class LibraryItem(Schema):
    """A video of the library."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Local time of the first frame, with its offset from UTC."""
    start_source: StartSource | Literal["none"] = "none"
    """The origin of the wall clock: set by a user, a recorder's header, the file's name, a tag of
    the container, the chapter before, the opening of a live feed, or none."""
    timezone: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The zone of this video; that of the settings where it has none."""
    camera_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The camera whose timeline it is a part of."""
    tags: list[str] = Field(default_factory=list)
    recording: RecordingItem | None = Field(default=None, exclude_if=lambda value: value is None)
    uri: str
    chunks: int
    latent_bytes: int
    fps: float | None
    compression_ratio: int | None
    warnings: list[str] = Field(default_factory=list)
    error: str | None = Field(default=None, exclude_if=lambda value: value is None)
    observed: list[ObservedItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """The reach of each observer; only in `videos show`."""


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
    play_offset_s: float
    """When the video's first frame is shown by the clock of what `play_url` gives."""
    play_note: list[str]
    """What stands in place of its picture: why there is none, and what happens next."""
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
    still_bytes: int | None
    """Bytes of the stills of all videos; `null` for a viewer."""
    free_bytes: int | None
    """Bytes free on the disk of the library; `null` for a viewer."""
    reserve_bytes: int | None
    """Bytes that stay free; `null` for a viewer."""


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
    """Wall clock of the first frame; without a zone, the local time of the video."""
    timezone: str | None = Field(default=None, max_length=64)
    """Where it was filmed: `Europe/Berlin`, or an offset such as `+05:30`."""
    video_track: int | None = Field(default=None, ge=0, le=10_000)
    """Number of the stream to read where the file holds several pictures."""


class ChangeVideoRequest(RequestModel):
    """Changes of a video: a field that is left out stays, `null` removes clock, zone or camera."""

    name: str | None = None
    tags: list[str] | None = Field(default=None, max_length=100)
    """All tags from now on."""
    start_at: datetime | None = None
    """Wall clock of the first frame; without a zone, the local time of the video."""
    timezone: str | None = Field(default=None, max_length=64)
    camera: str | None = Field(default=None, max_length=256)
    """The camera that filmed it, by id or name."""
