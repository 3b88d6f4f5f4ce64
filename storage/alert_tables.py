"""Mapped classes of standing questions: rules, what they raised, and where alerts are sent.

Decision: the picture of an alert is kept in its row, because it outlives the stills of its video,
travels with a backup, and is there on every machine that sends. It is some 20 kB, and lists leave
it unread.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, Serial


class AlertRuleTable(Base):
    """A rule: a standing question about cameras, and who is to hear of it."""

    __tablename__ = "alert_rules"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    is_enabled: Mapped[bool]
    definition: Mapped[dict[str, Any]]
    revision: Mapped[int]
    """Grows with every change of the definition: an alert says which one raised it."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class AlertWatchTable(Base):
    """The place up to which a rule has looked at a video, and the event that may go on there."""

    __tablename__ = "alert_watches"

    rule_id: Mapped[int] = mapped_column(
        ForeignKey("alert_rules.id", ondelete="CASCADE"), primary_key=True
    )
    video_id: Mapped[str] = mapped_column(
        ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    until_s: Mapped[float]
    state: Mapped[dict[str, Any]]


class AlertTable(Base):
    """An alert with its evidence; it stays when its rule is removed, and leaves with its video."""

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("rule_id", "video_id", "start_s"),
        Index("ix_alerts_state_raised_at", "state", "raised_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    rule_id: Mapped[int | None] = mapped_column(ForeignKey("alert_rules.id", ondelete="SET NULL"))
    rule: Mapped[str]
    revision: Mapped[int]
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    peak_s: Mapped[float]
    at: Mapped[datetime | None]
    """Of its start; `None` where the video has no wall clock."""
    score: Mapped[float]
    reason: Mapped[str]
    judged_by: Mapped[str]
    evidence: Mapped[list[dict[str, Any]]]
    """The rows that state it, as they were then."""
    state: Mapped[str]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    raised_at: Mapped[datetime]
    picture: Mapped[bytes | None] = mapped_column(deferred=True)
    has_picture: Mapped[bool]
    """Told without reading it."""


class AlertDestinationTable(Base):
    """A place that an administrator lets alerts be sent to; its secrets are kept elsewhere."""

    __tablename__ = "alert_destinations"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    address: Mapped[str]
    """As it may be shown."""
    options: Mapped[dict[str, Any]]
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """Whose videos alone are sent there; those of everybody when `None`."""
    created_at: Mapped[datetime]


class DeliveryTable(Base):
    """An alert on its way to one destination: the outbox."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("alert_id", "destination_id"),
        Index("ix_deliveries_state_run_at", "state", "run_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    destination_id: Mapped[int] = mapped_column(
        ForeignKey("alert_destinations.id", ondelete="CASCADE"), index=True
    )
    key: Mapped[str] = mapped_column(unique=True)
    """Idempotency key: the same over all attempts."""
    state: Mapped[str]
    attempts: Mapped[int]
    run_at: Mapped[datetime]
    lease: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    is_repeat: Mapped[bool]
    """Whether an attempt before may have arrived: what is sent says so."""
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
