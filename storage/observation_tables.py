"""Mapped classes of observations and of how far each observer has looked."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, Serial


class ObservationTable(Base):
    """A fact that an observer states about a video; its words are in the full-text index."""

    __tablename__ = "observations"
    __table_args__ = (
        Index("ix_observations_video_id_kind_start_s", "video_id", "kind", "start_s"),
        Index("ix_observations_video_id_kind_label", "video_id", "kind", "label"),
        Index("ix_observations_kind_label_confidence", "kind", "label", "confidence"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"))
    kind: Mapped[str]
    start_s: Mapped[float]
    end_s: Mapped[float]
    label: Mapped[str]
    text: Mapped[str]
    words: Mapped[str]
    """Colours, label, heading and text: what a search looks at."""
    confidence: Mapped[float]
    model: Mapped[str]
    peak_s: Mapped[float]
    track: Mapped[int | None]
    boxes: Mapped[list[list[float]]]
    """Time, left, top, right, bottom of each."""
    colours: Mapped[list[str]]
    heading: Mapped[str]
    n_seen: Mapped[int]
    n_looked: Mapped[int]
    vector: Mapped[bytes | None]
    """Of its text, as little-endian half floats; `None` until a sentence encoder has read it."""
    vector_model: Mapped[str | None]


class ObservedTable(Base):
    """The reach of an observer over a video, and what it could have stated."""

    __tablename__ = "observed"

    video_id: Mapped[str] = mapped_column(
        ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    labels: Mapped[list[str]]
    start_s: Mapped[float]
    end_s: Mapped[float]
