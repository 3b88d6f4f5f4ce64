"""Alerts: rules as they are written and kept, what they raised, and what they would have raised."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from app.schemas.ask import EvidenceObservation
from app.schemas.common import RequestModel, Schema, TimeBound, TimeOfDay, VideoSpan

AlertKind = Literal[
    "object", "motion", "text", "speech", "phrase", "no_motion", "no_picture", "no_recording"
]
"""What a rule is about: things by name, movement, print that holds words, words that are said,
anything that can be described, or too long without movement, a picture or a recording."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LineDirection = Literal["any", "left", "right", "up", "down"]
DecidedState = Literal["acknowledged", "false_alarm"]

Share = Annotated[float, Field(ge=0, le=1)]
Corner = tuple[Share, Share]
"""Shares of the width and height of the picture, from the upper left."""
Name = Annotated[str, Field(min_length=1, max_length=120)]


def read_corners(text: str) -> list[Corner]:
    """Return places that a text names, as `0.1,0.5 0.9,0.5`.

    Raises:
        ValueError: A word of it is no place.
    """
    corners = []
    for word in text.split():
        try:
            x, y = map(float, word.split(","))
        except ValueError as error:
            raise ValueError(f"places are written as 0.25,0.8, not {word!r}") from error
        corners.append((x, y))
    return corners


def corners_text(corners: Sequence[Corner]) -> str:
    """Return places as `read_corners` takes them."""
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


class AlertLine(RequestModel):
    """A line on the picture; crossing it counts where it goes the way of `direction`."""

    start: Corner
    end: Corner
    direction: LineDirection = "any"


class AlertCondition(RequestModel):
    """A standing question: what, where, when, how sure, how often at most, and who hears of it."""

    kind: AlertKind
    words: str = Field(
        default="",
        max_length=500,
        description="Of `object` the thing ('a person', 'a red car'), of `text` and `speech` the "
        "words, of `phrase` a description.",
    )
    cameras: list[str] = Field(
        default_factory=list, max_length=1000, description="Ids, for all that each films."
    )
    videos: list[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Ids; everything when these and `cameras` are empty.",
    )
    days: list[Weekday] = Field(default_factory=list, description="Every day when empty.")
    hours: TimeOfDay = None
    zone: list[Corner] = Field(
        default_factory=list, max_length=32, description="Polygon; the whole picture when empty."
    )
    line: AlertLine | None = None
    sure: float = Field(default=0.5, ge=0.05, le=0.99, description="Least support of an event.")
    least_s: float = Field(
        default=0.0, ge=0, le=86400, description="Shorter than this is no event."
    )
    too_long_s: float = Field(
        default=600.0, ge=10, le=7 * 86400, description="Of `no_motion`, `no_picture`, ..."
    )
    cooldown_s: float = Field(
        default=60.0,
        ge=0,
        le=30 * 86400,
        description="Least time between the beginnings of two alerts of a camera.",
    )
    destinations: list[Name] = Field(
        default_factory=list, max_length=20, description="Names; only the list here when empty."
    )


class CreateAlertRuleRequest(RequestModel):
    """A new rule."""

    name: Name
    condition: AlertCondition
    enabled: bool = True


class UpdateAlertRuleRequest(RequestModel):
    """Changes of a rule; what is left out stays."""

    name: Name | None = None
    condition: AlertCondition | None = None
    enabled: bool | None = None


class AlertPrecision(Schema):
    """The alerts of a rule by what people said of them."""

    open: int
    acknowledged: int
    false_alarm: int
    dismissed: int
    """By the verdict behind the gate; never sent."""
    n: int
    """Alerts that somebody has answered."""
    precision: float | None
    """Acknowledged ones of those; `null` where nobody has answered."""


class AlertRuleItem(Schema):
    """A rule."""

    name: str
    enabled: bool
    condition: AlertCondition
    in_words: str
    revision: int
    alerts: AlertPrecision
    notes: list[str]
    """What keeps it from seeing all that it is about."""
    created_at: str
    updated_at: str


class AlertRulesResponse(Schema):
    """Every rule, by name."""

    rules: list[AlertRuleItem]


class AlertItem(VideoSpan):
    """An alert."""

    alert_id: int
    camera_id: str | None
    camera: str | None
    """Name of the camera that filmed it; `null` of a recording that belongs to none."""
    rule: str
    revision: int
    state: Literal["open", "acknowledged", "false_alarm", "dismissed"]
    peak_s: float
    score: float
    reason: str
    judged_by: Literal["observations", "model", "vectors", "clock"]
    evidence: list[EvidenceObservation]
    """The rows that state it, as they were then."""
    has_picture: bool
    raised_at: str
    decided_at: str | None
    decided_by: str | None


class AlertsResponse(Schema):
    """Alerts, the latest first."""

    alerts: list[AlertItem]
    open: int
    """All that nobody has answered yet."""


class DecideAlertRequest(RequestModel):
    """Somebody's answer to an alert."""

    state: DecidedState


class TryAlertRuleRequest(RequestModel):
    """A stretch of recorded footage to try a rule on: one that is kept, or a condition."""

    rule: Name | None = None
    condition: AlertCondition | None = None
    after: TimeBound = None
    before: TimeBound = None


class TriedAlert(VideoSpan):
    """An alert that a rule would have raised."""

    peak_s: float
    score: float
    reason: str
    judged_by: Literal["observations", "model", "vectors", "clock"]


class TryAlertRuleResponse(Schema):
    """The alerts that a rule would have raised."""

    rule: str
    alerts: list[TriedAlert]
    events: int
    """All that satisfies its condition, those too that came within its cool-down."""
    within_cooldown: int
    dismissed: int
    searched_s: float
    notes: list[str]
