"""Observations: what observers state about footage, with times."""

from pydantic import Field

from app.schemas.common import Schema, VideoLabels, VideoSpan, describe_span
from app.schemas.jobs import JobItem
from app.timefmt import format_offset
from engine.records import Observation


class BoxItem(Schema):
    """Place of a thing in one frame, in shares of its width and height, from the upper left."""

    time_s: float
    left: float
    top: float
    right: float
    bottom: float


class ObservationItem(VideoSpan):
    """One fact: a thing or a person from entering to leaving, a movement, print, or speech."""

    kind: str
    """`object`, `motion`, `text` or `speech`."""
    label: str
    text: str
    """What was read or said."""
    confidence: float
    """Of the model at its surest; a lone detector may be wrong at 1.0."""
    seen: int
    """Frames that show it."""
    looked: int
    """Frames that were looked at from its first to its last."""
    peak_s: float
    """The frame that shows it best."""
    peak: str
    track: int | None = None
    colours: list[str] = Field(default_factory=list)
    heading: str = ""
    """`left`, `right`, `up`, `down`, `nearer` or `farther`; empty where it stays."""
    model: str
    boxes: list[BoxItem] = Field(default_factory=list)
    share: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Share of the query's words that it holds; only in search results."""


class LabelCount(Schema):
    """Observations of one label."""

    label: str
    count: int
    seconds: float


class ObservedItem(Schema):
    """The reach of one observer over a video."""

    observer: str
    kind: str
    model: str
    """Empty until it has looked."""
    reach_s: float
    """How far it has looked."""
    reach: str
    count: int
    labels: list[LabelCount] = Field(default_factory=list)
    """The most common ones first."""
    missing: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The part that this machine lacks, with what brings it."""


class ObservationsResponse(Schema):
    """The observations of a video: the document of `observations`."""

    video_id: str
    video: str
    observed: list[ObservedItem]
    observations: list[ObservationItem]


class OverviewResponse(Schema):
    """Observations of a video in counts, questions that they answer, and how far observing is."""

    video_id: str
    video: str
    observed: list[ObservedItem]
    job: JobItem | None
    """The latest job that observes, running or over."""
    note: str | None
    """Why there is nothing to show, and what to do."""
    can_observe: bool
    """Whether the settings name anything that observes."""
    questions: list[str]
    """Questions that the observations answer, to begin with."""


def describe_observation(
    row: Observation, labels: VideoLabels, *, share: float | None = None
) -> ObservationItem:
    """Return an observation as JSON."""
    return ObservationItem(
        **describe_span(row.video, row.span, labels).model_dump(),
        kind=row.kind,
        label=row.label,
        text=row.text,
        confidence=row.confidence,
        seen=row.n_seen,
        looked=row.n_looked,
        peak_s=row.peak_s,
        peak=format_offset(row.peak_s),
        track=row.track,
        colours=[*row.colours],
        heading=row.heading,
        model=row.model,
        boxes=[
            BoxItem(
                time_s=box.time_s, left=box.left, top=box.top, right=box.right, bottom=box.bottom
            )
            for box in row.boxes
        ],
        share=share,
    )
