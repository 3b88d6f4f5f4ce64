"""Searches by text or by frame, and the moments they return."""

from typing import Annotated

from pydantic import Field

from app.schemas.captions import CaptionItem
from app.schemas.common import RequestModel, Schema, TimeBound, VideoIds, VideoSpan


class SearchHit(VideoSpan):
    """A span of video that matches a query."""

    rank: int
    peak_s: float
    score: float
    thumb_url: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The address of a still at `peak_s`; over HTTP only."""


class SearchTiming(Schema):
    """Durations in milliseconds, from when the query arrived."""

    total_ms: float


class SearchResponse(Schema):
    """Moments that match a query, best first."""

    query: str
    hits: list[SearchHit]
    captions: list[CaptionItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Captions that contain words of the query; separate from the hits."""
    searched_s: float
    searched: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """`searched_s` in words; over HTTP only."""
    timing: SearchTiming


class FrameRef(RequestModel):
    """A frame of a video."""

    video_id: str = Field(max_length=64)
    time_s: float = Field(ge=0)


class SearchRequest(RequestModel):
    """A description or a frame to search for, and where to look."""

    query: str = ""
    like: FrameRef | None = None
    videos: VideoIds = Field(default=[])
    after: TimeBound = None
    before: TimeBound = None
    time_of_day: Annotated[str | None, Field(description="22:00-06:00, UTC")] = None
    top: int = Field(default=24, ge=1, le=200)
