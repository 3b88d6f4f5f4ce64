"""Arguments of commands, as they travel to a running server."""

from datetime import datetime

from pydantic import Field

from app.schemas.common import RequestModel, TimeBound, TimeOfDay


class ListArguments(RequestModel):
    """Filters of the list of videos."""

    tags: list[str] = Field(default_factory=list)
    """All of them."""


class NoArguments(RequestModel):
    """A command that is about the whole library."""


class AskArguments(RequestModel):
    """A question, and where to look."""

    question: str
    videos: list[str] = Field(default_factory=list)
    cameras: list[str] = Field(default_factory=list)
    after: TimeBound = None
    before: TimeBound = None
    time_of_day: TimeOfDay = None
    images: list[str] = Field(default_factory=list)
    """Absolute paths of still images; without a filter of videos the question is about these."""

    @property
    def is_about_images_alone(self) -> bool:
        """Whether no video is to be searched."""
        filters = (self.videos, self.cameras, self.time_of_day)
        has_bounds = self.after is not None or self.before is not None
        return bool(self.images) and not any(filters) and not has_bounds


class SearchArguments(RequestModel):
    """A search, and where to look."""

    query: str
    top: int
    kinds: list[str] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    videos: list[str] = Field(default_factory=list)
    cameras: list[str] = Field(default_factory=list)
    after: TimeBound = None
    before: TimeBound = None
    time_of_day: TimeOfDay = None


class IngestArguments(RequestModel):
    """Sources to read."""

    sources: list[str]
    """Absolute paths: the server has another working folder."""
    name: str | None = None
    start_at: datetime | None = None
    timezone: str | None = None
    video_track: int | None = None
    observes: bool = True


class VideoArguments(RequestModel):
    """One video, by its id or name."""

    video: str
