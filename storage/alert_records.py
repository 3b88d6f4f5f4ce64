"""Records of standing questions: rules, alerts, destinations, deliveries."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType

from engine.records import Observation, TimeSpan, VideoId
from storage.records import Json, UserId

AlertRuleId = NewType("AlertRuleId", int)
AlertId = NewType("AlertId", int)
DestinationId = NewType("DestinationId", int)
DeliveryId = NewType("DeliveryId", int)

AlertState = Literal["open", "acknowledged", "false_alarm", "dismissed"]
"""`dismissed` by the verdict behind the gate: kept with its reason, never sent, never counted."""
AlertJudge = Literal["observations", "model", "vectors", "clock"]
"""Ground of an alert: rows of observers, a model's answer, vectors alone, or missing pictures."""
DeliveryState = Literal["queued", "sending", "delivered", "dead"]
DestinationKind = Literal["webhook", "mqtt", "email", "apprise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRuleRow:
    """A rule as it is kept."""

    id: AlertRuleId
    name: str
    is_enabled: bool
    definition: Json
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertWatchRow:
    """The place up to which a rule has looked at a video."""

    until_s: float
    state: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """An alert that is about to be raised."""

    video: VideoId
    span: TimeSpan
    peak_s: float
    at: datetime | None
    score: float
    reason: str
    judged_by: AlertJudge
    evidence: tuple[Observation, ...] = ()
    is_dismissed: bool = False
    picture: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alert that was raised."""

    id: AlertId
    rule_id: AlertRuleId | None
    """`None` once the rule is removed."""
    rule: str
    revision: int
    video: VideoId
    span: TimeSpan
    peak_s: float
    at: datetime | None
    score: float
    reason: str
    judged_by: AlertJudge
    evidence: tuple[Observation, ...]
    """The rows that state it, as they were then."""
    state: AlertState
    decided_at: datetime | None
    decided_by: str | None
    raised_at: datetime
    has_picture: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCounts:
    """The alerts of a rule by what people said of them."""

    open: int = 0
    acknowledged: int = 0
    false_alarm: int = 0
    dismissed: int = 0

    @property
    def n_decided(self) -> int:
        """Alerts that somebody has answered."""
        return self.acknowledged + self.false_alarm

    @property
    def precision(self) -> float | None:
        """Share of the answered alerts that were none false; `None` where nobody has answered."""
        return self.acknowledged / self.n_decided if self.n_decided else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """A place that alerts may be sent to."""

    id: DestinationId
    name: str
    kind: DestinationKind
    address: str
    options: Json
    user: UserId | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """An alert on its way to one destination."""

    id: DeliveryId
    alert: AlertId
    destination: DestinationId
    key: str
    state: DeliveryState
    attempts: int
    run_at: datetime
    lease: str | None
    lease_until: datetime | None
    is_repeat: bool
    error: str | None
    created_at: datetime
    ended_at: datetime | None
