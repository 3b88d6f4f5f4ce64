"""Mapped class of verdicts, apart from the other tables for their length."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, Serial


class VerdictTable(Base):
    """A moment that someone confirmed or rejected as an answer to a query."""

    __tablename__ = "verdicts"
    __table_args__ = (UniqueConstraint("user_id", "video_id", "start_s", "end_s", "query"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    user_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    peak_s: Mapped[float]
    query: Mapped[str]
    is_right: Mapped[bool]
    origin: Mapped[str]
    kind: Mapped[str]
    score: Mapped[float | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
