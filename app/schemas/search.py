"""Searches by text or by frame, and the moments they return."""

from pydantic import Field

from app.schemas.common import (
    CameraNames,
    GapItem,
    LeftOutItem,
    RequestModel,
    Schema,
    TimeBound,
    TimeOfDay,
    VideoIds,
    VideoSpan,
)
from engine.records import MomentKind


class EncoderItem(Schema):
    """An encoder that finds words in pictures, for the reader of its results."""

    name: str
    knows: str
    """What it can and cannot tell, in a sentence."""
    licence: str
    measured: str = ""
    """How often it was right, and on what; empty where nobody has measured it."""


class SearchHit(VideoSpan):
    """A span of video that matches a query."""

    rank: int
    peak_s: float
    score: float
    """How well it fits, from 0 to 1; of hits that are not confirmed an order alone."""
    kind: MomentKind
    """Source: vectors, rows of an observer, or a caption."""
    confirmed: bool
    """Whether it counts as found; else it is merely among the nearest."""
    source: str
    """The encoder or observer that proposes it."""
    text: str
    """What was recognised, read, said or described; empty for vectors."""
    thumb_url: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The address of a still at `peak_s`; over HTTP only."""


class ObservingItem(Schema):
    """A video that the eyes are still looking at."""

    video_id: str
    video: str
    note: str
    """How far they are; empty while their job waits."""


class SearchTiming(Schema):
    """Durations in milliseconds, from when the query arrived."""

    total_ms: float


class SearchResponse(Schema):
    """Moments that match a query: those that are found, then the nearest; best first."""

    query: str
    encoders: list[EncoderItem]
    """What looked at the pictures, and what each of them knows."""
    hits: list[SearchHit]
    searched_s: float
    left_out: list[LeftOutItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Spans that could not be searched, and are not in `searched_s`."""
    gaps: list[GapItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Stretches among what was searched in which a camera filmed nothing."""
    observing: list[ObservingItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Videos of the search that are still being looked at: more may be found in them later."""
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
    cameras: CameraNames = Field(default=[])
    after: TimeBound = None
    before: TimeBound = None
    time_of_day: TimeOfDay = None
    kinds: list[MomentKind] = Field(default=[])
    """Only moments of these sources; all when empty."""
    labels: list[str] = Field(default=[], max_length=80)
    """Only things with these labels, such as `person`; all when empty."""
    top: int = Field(default=24, ge=1, le=200)
