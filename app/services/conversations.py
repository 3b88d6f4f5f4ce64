"""Conversations: questions with their answers, kept for the user who asked them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.schemas.ask import EvidenceItem, describe_evidence, describe_timing
from app.schemas.common import VideoLabels
from app.schemas.conversations import ConversationItem, ConversationResponse, TurnItem
from app.services.access import FULL_ACCESS, Access
from app.services.context import ServiceContext
from app.timefmt import format_duration
from engine.errors import NotFoundError
from engine.records import Answer, Evidence, Turn, VideoId
from storage.records import ConversationId, ConversationRow, TurnRow, UserId

TURNS_KEPT_IN_MIND: Final = 4
"""Earlier turns that the model is shown."""
TITLE_CHARS: Final = 80
MAX_LISTED: Final = 100
MAX_CHAPTER_CONVERSATIONS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTurn:
    """Place of a question and its answer that were written down."""

    conversation_id: ConversationId
    image_urls: tuple[str, ...]
    """Of the images beside the question, in their order."""


def list_conversations(
    context: ServiceContext, user: UserId, access: Access
) -> list[ConversationItem]:
    """Return the conversations of a user, the latest first."""
    rows = context.catalog.conversations.list(user, limit=MAX_LISTED)
    return [_describe(row, access) for row in rows]


def show_conversation(
    context: ServiceContext, user: UserId, access: Access, conversation_id: str
) -> ConversationResponse:
    """Return a conversation with its turns, in order.

    Evidence of videos that the user may no longer see is left out.

    Raises:
        NotFoundError: The user has no such conversation.
    """
    return _with_turns(context, find_conversation(context, user, conversation_id), access)


def list_all_conversations(context: ServiceContext) -> list[ConversationItem]:
    """Return the conversations of every account, the latest first: for whoever has the files."""
    accounts = _account_names(context)
    rows = context.catalog.conversations.latest(limit=MAX_LISTED)
    return [_describe(row, FULL_ACCESS, accounts) for row in rows]


def show_any_conversation(context: ServiceContext, conversation_id: str) -> ConversationResponse:
    """Return a conversation of any account with its turns: for whoever has the files.

    Raises:
        NotFoundError: There is no such conversation.
    """
    row = context.catalog.conversations.get(ConversationId(conversation_id))
    return _with_turns(context, row, FULL_ACCESS, _account_names(context))


def find_conversation(
    context: ServiceContext, user: UserId, conversation_id: str
) -> ConversationRow:
    """Return a conversation of this user: to anyone else it does not exist.

    Raises:
        NotFoundError: The user has none of this id.
    """
    row = context.catalog.conversations.get(ConversationId(conversation_id))
    if row.user != user:
        raise NotFoundError(f"no conversation {conversation_id!r}")
    return row


def remove_conversation(context: ServiceContext, user: UserId, conversation_id: str) -> None:
    """Delete a conversation with its turns.

    Raises:
        NotFoundError: The user has none of this id.
    """
    row = find_conversation(context, user, conversation_id)
    context.catalog.conversations.remove(row.id)


def read_history(context: ServiceContext, row: ConversationRow) -> tuple[Turn, ...]:
    """Return the turns that the next question may refer to, oldest first."""
    turns = context.catalog.conversations.turns(row.id)[-TURNS_KEPT_IN_MIND:]
    return tuple(Turn(question=turn.question, answer=turn.answer) for turn in turns)


def keep_turn(
    context: ServiceContext,
    user: UserId,
    conversation: ConversationRow | None,
    videos: Sequence[str],
    question: str,
    answer: Answer,
    *,
    images: Sequence[bytes] = (),
) -> KeptTurn:
    """Write down a question and its answer, in a new conversation if there is none.

    Args:
        videos: Those a new conversation is about; all when empty.
        images: JPEGs of what was shown beside the question (`images.draw_kept`).
    """
    conversations = context.catalog.conversations
    if conversation is None:
        title = " ".join(question.split())[:TITLE_CHARS]
        named = tuple(VideoId(video) for video in videos)
        conversation = conversations.add(title, user=user, videos=named)
    turn = conversations.add_turn(conversation.id, question, answer, images=images)
    return KeptTurn(conversation_id=conversation.id, image_urls=_image_urls(conversation.id, turn))


def turn_image(
    context: ServiceContext, user: UserId, conversation_id: str, turn: int, image: int
) -> bytes:
    """Return the JPEG of an image that a user showed beside a question.

    Args:
        turn: The place of the question in its conversation, from 0.
        image: Its place among the images of that question, from 0.
    Raises:
        NotFoundError: The user has no such conversation, or it no such image.
    """
    row = find_conversation(context, user, conversation_id)
    return context.catalog.conversations.image(row.id, turn, image)


def list_chapters(
    context: ServiceContext, user: UserId, video: VideoId
) -> list[tuple[float, float, str]]:
    """Return the moments of a video that a user asked about: start, end (s) and question.

    The first evidence of each answer counts, where it is of this video; in time order.
    """
    conversations = context.catalog.conversations
    return sorted(
        (evidence.span.start_s, evidence.span.end_s, turn.question)
        for row in conversations.list(user, limit=MAX_CHAPTER_CONVERSATIONS)
        for turn in conversations.turns(row.id)
        for evidence in turn.evidence[:1]
        if evidence.video == video
    )


def _account_names(context: ServiceContext) -> dict[UserId, str]:
    return {user.id: user.name for user in context.catalog.accounts.users()}


def _with_turns(
    context: ServiceContext,
    row: ConversationRow,
    access: Access,
    accounts: Mapping[UserId, str] | None = None,
) -> ConversationResponse:
    labels = context.labels()
    turns = context.catalog.conversations.turns(row.id)
    return ConversationResponse(
        **_describe(row, access, accounts).model_dump(),
        turns=[_describe_turn(row.id, turn, labels, access) for turn in turns],
    )


def _describe(
    row: ConversationRow, access: Access, accounts: Mapping[UserId, str] | None = None
) -> ConversationItem:
    return ConversationItem(
        conversation_id=row.id,
        title=row.title,
        videos=[video for video in row.videos if access.may_see(video)],
        updated_at=row.updated_at.isoformat(),
        account=(accounts or {}).get(row.user) if row.user else None,
    )


def _describe_turn(
    conversation: ConversationId, turn: TurnRow, labels: VideoLabels, access: Access
) -> TurnItem:
    return TurnItem(
        question=turn.question,
        image_urls=[*_image_urls(conversation, turn)],
        answer=turn.answer,
        answered_by=turn.answered_by,
        evidence=_visible(turn.evidence, labels, access),
        nearest=_visible(turn.nearest, labels, access),
        searched=format_duration(turn.searched_s),
        searched_s=turn.searched_s,
        recalled_chunks=turn.recalled_chunks,
        recall=turn.recall,
        model=turn.model,
        timing=describe_timing(turn.timing),
        created_at=turn.created_at.isoformat(),
    )


def _image_urls(conversation: ConversationId, turn: TurnRow) -> tuple[str, ...]:
    base = f"/api/v1/conversations/{conversation}/turns/{turn.ordinal}/images"
    return tuple(f"{base}/{place}.jpg" for place in range(turn.n_images))


def _visible(
    moments: Sequence[Evidence], labels: VideoLabels, access: Access
) -> list[EvidenceItem]:
    return [describe_evidence(item, labels) for item in moments if access.may_see(item.video)]
