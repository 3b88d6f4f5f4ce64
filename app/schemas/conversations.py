"""Conversations: questions and answers that belong together."""

from pydantic import BaseModel


class TurnItem(BaseModel):
    """One question of a conversation."""

    question: str
    answer: str
    evidence: list[dict[str, object]]
    searched: str
    recalled_chunks: int
    recall: str
    model: str
    created_at: str


class ConversationItem(BaseModel):
    """A conversation, as a list shows it."""

    conversation_id: str
    title: str
    videos: list[str]
    updated_at: str


class ConversationsResponse(BaseModel):
    """A user's conversations, the liveliest first."""

    conversations: list[ConversationItem]


class ConversationResponse(ConversationItem):
    """A conversation with its turns."""

    turns: list[TurnItem]
