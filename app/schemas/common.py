"""Parts that several resources share: spans of a video, filters, a plain message."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.field_docs import field_docs
from app.timefmt import format_offset, wall_clock
from engine.records import TimeSpan, VideoId, VideoStretch
from storage.records import StartSource

VideoIds = Annotated[list[str], Field(max_length=256)]
CameraNames = Annotated[
    list[str],
    Field(
        max_length=64,
        description="Ids or names of cameras: all that each has filmed, across its files.",
    ),
]
RowNumber = Annotated[int, Field(ge=0, le=2**31)]
"""A number that a row has in the library; larger ones no database could be asked for."""
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
"""Seconds from the start of a video; in 1e9 lie thirty years."""
TimeBound = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | datetime | None,
    Field(
        description="Seconds from the start of each video, or a date and time (ISO 8601); without "
        "a zone it is the local time of each video."
    ),
]
TimeOfDay = Annotated[
    str | None,
    Field(max_length=32, description="22:00-06:00, in local time where each video was filmed."),
]


class Schema(BaseModel):
    """Any JSON object; a string below a field describes it in the OpenAPI document.

    Validators are built when a class is first used: a command uses few of them.
    """

    model_config = ConfigDict(defer_build=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            alias = cls.model_fields[name].alias or name
            if alias in properties:
                properties[alias].setdefault("description", text)
        return schema


class RequestModel(Schema):
    """A request body; unknown fields are an error."""

    # FastAPI wraps it while the application is put together, and warns where it is not built yet.
    model_config = ConfigDict(extra="forbid", defer_build=False)


LeftOutReason = Literal["damaged", "other_model", "away"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AwayStretch(VideoStretch):
    """A span whose latents lie beside a server that gave no answer."""


class VideoLabel(NamedTuple):
    """The facts of a video that stand beside each span of it."""

    name: str
    start_at: datetime | None
    """On the wall clock; `None` where it is unknown."""
    left_out_because: LeftOutReason = "damaged"
    """Why a part of it that was read once cannot be searched."""
    start_source: StartSource | None = None
    zone: tzinfo | None = UTC
    """Where it was filmed; this machine's when `None`."""


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
    """Local time where the video was filmed, with its offset from UTC."""
    end_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    start_source: StartSource | None = Field(default=None, exclude_if=lambda value: value is None)
    """The origin of the video's wall clock."""


LEFT_OUT_HINTS: Final[Mapping[LeftOutReason, str]] = {
    "damaged": "`longwatch videos reindex` says how it is read again",
    "other_model": "ingest the video again, or ask with the model that read it",
    "away": "ask again once the server or store that holds it answers; see `longwatch doctor`",
}


class LeftOutItem(VideoSpan):
    """A span that was asked for, was read once, and could not be searched."""

    reason: LeftOutReason
    hint: str
    """How to make it searchable again."""


class GapItem(Schema):
    """A stretch in which a camera filmed nothing: nobody knows what happened then."""

    camera: str
    start_at: str
    """Local time of the camera, with its offset from UTC."""
    end_at: str | None
    """`null` where it has not filmed again since."""


class MessageResponse(Schema):
    """The outcome of a command, in one sentence."""

    message: str


def describe_left_out(stretches: Iterable[VideoStretch], labels: VideoLabels) -> list[LeftOutItem]:
    """Return what could not be searched as JSON, with the way to mend it."""
    items = []
    for stretch in stretches:
        span = describe_span(stretch.video, stretch.span, labels)
        label = labels.get(stretch.video)
        reason: LeftOutReason = "damaged" if label is None else label.left_out_because
        if isinstance(stretch, AwayStretch):
            reason = "away"
        items.append(LeftOutItem(**span.model_dump(), reason=reason, hint=LEFT_OUT_HINTS[reason]))
    return items


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
        start_at=wall_clock(label.start_at, span.start_s, label.zone),
        end_at=wall_clock(label.start_at, span.end_s, label.zone),
        start_source=None if label.start_at is None else label.start_source,
    )
