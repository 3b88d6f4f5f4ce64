"""Mapped classes of conversations: questions, what was shown with them, answers and evidence.

Decision: a picture beside a question is kept in its row, as that of an alert is: it goes with its
conversation, travels with a backup, and is there on every server. Lists leave it unread.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storage.tables import Base


class ConversationTable(Base):
    """A conversation."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str]
    videos: Mapped[list[str]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TurnTable(Base):
    """A question and its answer."""

    __tablename__ = "turns"

    conversation_id: Mapped[str] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    question: Mapped[str]
    answer: Mapped[str]
    model: Mapped[str]
    recall: Mapped[str]
    searched_s: Mapped[float]
    recalled_chunks: Mapped[int]
    retrieve_ms: Mapped[float]
    first_token_ms: Mapped[float]
    total_ms: Mapped[float]
    created_at: Mapped[datetime]
    answered_by: Mapped[str | None]
    """`None` of an answer that an earlier version kept."""

    evidence: Mapped[list["EvidenceTable"]] = relationship(
        lazy="selectin", order_by="EvidenceTable.rank"
    )
    images: Mapped[list["TurnImageTable"]] = relationship(
        lazy="selectin", order_by="TurnImageTable.place"
    )


class EvidenceTable(Base):
    """A span that supports an answer, or is merely near a question; deleted with its video."""

    __tablename__ = "evidence"
    __table_args__ = (
        ForeignKeyConstraint(
            ["conversation_id", "ordinal"],
            ["turns.conversation_id", "turns.ordinal"],
            ondelete="CASCADE",
        ),
    )

    conversation_id: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    score: Mapped[float]
    origin: Mapped[str]
    keyframe_s: Mapped[float]
    is_nearest: Mapped[bool | None]
    """Whether it is not confirmed; unknown, and so `False`, of what an earlier version kept."""
    observations: Mapped[list[dict[str, Any]] | None]
    """The rows that state it, as they were then: observers may look again."""


class TurnImageTable(Base):
    """A still image beside a question, as it is shown again with the conversation."""

    __tablename__ = "turn_images"
    __table_args__ = (
        ForeignKeyConstraint(
            ["conversation_id", "ordinal"],
            ["turns.conversation_id", "turns.ordinal"],
            ondelete="CASCADE",
        ),
    )

    conversation_id: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    jpeg: Mapped[bytes] = mapped_column(deferred=True)
