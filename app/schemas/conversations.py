"""Conversations: questions and answers that belong together."""

from pydantic import Field

from app.schemas.ask import AskTiming, EvidenceItem
from app.schemas.common import Schema
from engine.records import AnsweredBy


class TurnItem(Schema):
    """A question of a conversation, with its answer and what that rested on."""

    question: str
    image_urls: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Where the images beside the question are kept."""
    answer: str
    answered_by: AnsweredBy | None
    """`null` of an answer that an earlier version kept."""
    evidence: list[EvidenceItem]
    nearest: list[EvidenceItem]
    """The moments nearest to a question that nothing answered; not confirmed."""
    searched: str
    searched_s: float
    recalled_chunks: int
    recall: str
    model: str
    timing: AskTiming
    created_at: str


class ConversationItem(Schema):
    """A conversation, without its questions."""

    conversation_id: str
    title: str
    videos: list[str]
    updated_at: str
    account: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Whose it is; on the command line only."""


class ConversationsResponse(Schema):
    """Conversations, the most recently used first."""

    conversations: list[ConversationItem]


class ConversationResponse(ConversationItem):
    """A conversation with its questions and answers."""

    turns: list[TurnItem]
