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


class Schema(BaseModel):
    """Any JSON object; a string below a field describes it in the OpenAPI document."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class RequestModel(Schema):
    """A request body; unknown fields are an error."""

    model_config = ConfigDict(extra="forbid")


class VideoLabel(NamedTuple):
    """The name of a video, and its start on the wall clock if known."""

    name: str
    start_at: datetime | None


VideoLabels = Mapping[VideoId, VideoLabel]


class VideoSpan(Schema):
    """A span of one video: in seconds, as text, and on the wall clock if known."""

    video_id: str
    video: str
    start_s: float
    end_s: float
    start: str
    end: str
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    end_at: str | None = Field(default=None, exclude_if=lambda value: value is None)


class MessageResponse(Schema):
    """The outcome of a command, in one sentence."""

    message: str


def describe_span(video: VideoId, span: TimeSpan, labels: VideoLabels) -> VideoSpan:
    """Return a span as JSON; a video without a label is named by its id."""
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
