"""Parts that several resources share: spans of a video, filters, a plain message."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app.timefmt import format_offset, wall_clock
from engine.records import TimeSpan, VideoId

VideoIds = Annotated[list[str], Field(max_length=256)]
TimeBound = Annotated[
    float | datetime | None,
    Field(description="Seconds from the start of each video, or a date and time (ISO 8601)."),
]


class RequestModel(BaseModel):
    """What a client sends; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class VideoLabel(NamedTuple):
    """What a video is called, and when it started if that is known."""

    name: str
    start_at: datetime | None


VideoLabels = Mapping[VideoId, VideoLabel]


class VideoSpan(BaseModel):
    """A span of one video, in every notation."""

    video_id: str
    video: str
    start_s: float
    end_s: float
    start: str
    end: str
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    end_at: str | None = Field(default=None, exclude_if=lambda value: value is None)


class MessageResponse(BaseModel):
    """The outcome of a command that has nothing to list."""

    message: str


def describe_span(video: VideoId, span: TimeSpan, labels: VideoLabels) -> VideoSpan:
    """A span in every notation; an unlabelled video is called by its id."""
    label = labels.get(video, VideoLabel(name=video, start_at=None))
    return VideoSpan(
        video_id=video,
        video=label.name,
        start_s=span.start_s,
        end_s=span.end_s,
        start=format_offset(span.start_s),
        end=format_offset(span.end_s),
        start_at=wall_clock(label.start_at, span.start_s),
        end_at=wall_clock(label.start_at, span.end_s),
    )
