"""Chapters of a recording with their titles and pictures, and its summary."""

from pydantic import Field

from app.schemas.ask import EvidenceObservation
from app.schemas.common import Schema, VideoSpan


class MomentItem(VideoSpan):
    """A chapter: a stretch of a recording with a title."""

    title: str
    keyframe_s: float
    thumb_url: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The address of a still at `keyframe_s`; over HTTP only."""
    observations: list[EvidenceObservation]


class MomentsResponse(Schema):
    """The chapters of a video in time order, and what happens in it: the document of `moments`."""

    video_id: str
    video: str
    summary: str
    """In sentences; says what was not observed yet."""
    moments: list[MomentItem]
    observed: list[str]
    """The kinds of observations that the titles rest on."""
