"""Days on the wall clock: what was filmed, video by video, and what was seen when."""

from pydantic import Field

from app.schemas.common import Schema, VideoSpan


class DayStretch(VideoSpan):
    """A part of a video that was filmed on the day."""

    clock_s: float
    """Seconds of the day, in local time, when it begins; of a night from noon on."""


class DayEvent(DayStretch):
    """Observations of one kind and label that follow each other closely."""

    kind: str
    """`object`, `motion`, `text` or `speech`."""
    label: str
    text: str
    """What was read or said first."""
    count: int
    """Observations in it."""
    peak_s: float
    """The frame of the video that shows it best."""


class DayLane(Schema):
    """The footage and the events of one source: a camera, a recording in parts, or a video."""

    key: str
    """The same on every day."""
    name: str
    stretches: list[DayStretch]
    events: list[DayEvent]


class DayResponse(Schema):
    """A day, lane by lane: the document of `moments --day`."""

    date: str
    """Of a night that of its evening."""
    is_night: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether it goes from noon to noon."""
    filmed_s: float
    """Seconds of footage in all lanes."""
    lanes: list[DayLane]
    """By the time at which they begin."""


class DayCount(Schema):
    """The number of events of one thing on two days."""

    what: str
    """A thing by its label; else `movement`, `print` or `speech`."""
    counts: list[int]
    """Events of each day."""


class ComparedSource(Schema):
    """One source on two days."""

    key: str
    name: str
    filmed_s: list[float]
    """Seconds of footage of each day."""
    seen: list[DayCount]
    """The most frequent first."""


class ComparedDaysResponse(Schema):
    """Two days side by side: the document of `moments --day --beside`."""

    dates: list[str]
    sources: list[ComparedSource]


class DayItem(Schema):
    """A day of which there is footage."""

    date: str
    videos: int
    filmed_s: float


class DaysResponse(Schema):
    """Days of which there is footage, the earliest first."""

    days: list[DayItem]
