"""Conversations: questions and answers that belong together."""

from app.schemas.common import Schema


class TurnItem(Schema):
    """A question of a conversation, with its answer."""

    question: str
    answer: str
    evidence: list[dict[str, object]]
    searched: str
    recalled_chunks: int
    recall: str
    model: str
    created_at: str


class ConversationItem(Schema):
    """A conversation, without its questions."""

    conversation_id: str
    title: str
    videos: list[str]
    updated_at: str


class ConversationsResponse(Schema):
    """The user's conversations, the most recently used first."""

    conversations: list[ConversationItem]


class ConversationResponse(ConversationItem):
    """A conversation with its questions and answers."""

    turns: list[TurnItem]
