"""Conversations: questions, answers and the evidence of each."""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from engine.records import (
    Answer,
    AnsweredBy,
    AnswerTiming,
    Evidence,
    Origin,
    Recall,
    TimeSpan,
    VideoId,
)
from storage.conversation_tables import (
    ConversationTable,
    EvidenceTable,
    TurnImageTable,
    TurnTable,
)
from storage.database import Database
from storage.kept_observations import keep_observation, kept_observation
from storage.records import MOST_GROUNDS, ConversationId, ConversationRow, TurnRow, UserId
from storage.tables import VideoTable


class Conversations:
    """Conversations and their turns."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self, title: str, *, user: UserId | None = None, videos: Collection[VideoId] = ()
    ) -> ConversationRow:
        """Add a conversation about `videos`, or about all when there are none."""
        now = self._now()
        with self._database.writing() as session:
            row = ConversationTable(
                id=secrets.token_hex(8),
                user_id=user,
                title=title,
                videos=[*videos],
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            return _conversation(row)

    def get(self, conversation: ConversationId) -> ConversationRow:
        """Return the conversation of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _conversation(_row(session, conversation))

    def list(
        self, user: UserId | None = None, *, limit: int | None = None
    ) -> tuple[ConversationRow, ...]:
        """Return conversations of a user (those without a user when `None`), last used first."""
        query = (
            select(ConversationTable)
            .where(ConversationTable.user_id == user)
            .order_by(ConversationTable.updated_at.desc(), ConversationTable.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return tuple(map(_conversation, session.scalars(query)))

    def latest(self, *, limit: int | None = None) -> tuple[ConversationRow, ...]:
        """Return the conversations of everyone, last used first."""
        query = (
            select(ConversationTable)
            .order_by(ConversationTable.updated_at.desc(), ConversationTable.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return tuple(map(_conversation, session.scalars(query)))

    def rename(self, conversation: ConversationId, title: str) -> ConversationRow:
        """Set the title of a conversation."""
        with self._database.writing() as session:
            row = _row(session, conversation)
            row.title = title
            return _conversation(row)

    def remove(self, conversation: ConversationId) -> None:
        """Delete a conversation with its turns."""
        with self._database.writing() as session:
            row = _row(session, conversation)
            session.execute(delete(ConversationTable).where(ConversationTable.id == row.id))

    def add_turn(
        self,
        conversation: ConversationId,
        question: str,
        answer: Answer,
        *,
        images: Sequence[bytes] = (),
    ) -> TurnRow:
        """Add a question and its answer; evidence of a video removed meanwhile is left out.

        Args:
            images: JPEGs of what was shown beside the question, in its order.
        """
        now = self._now()
        with self._database.writing() as session:
            row = _row(session, conversation, lock=True)
            row.updated_at = now
            last = session.scalar(
                select(func.max(TurnTable.ordinal)).where(TurnTable.conversation_id == conversation)
            )
            moments = [(item, False) for item in answer.evidence]
            moments += [(item, True) for item in answer.nearest]
            cited = {item.video for item, _ in moments}
            present = set(session.scalars(select(VideoTable.id).where(VideoTable.id.in_(cited))))
            turn = TurnTable(
                conversation_id=conversation,
                ordinal=0 if last is None else last + 1,
                question=question,
                answer=answer.text,
                model=answer.model_name,
                recall=answer.recall,
                searched_s=answer.searched_s,
                recalled_chunks=answer.recalled_chunks,
                retrieve_ms=answer.timing.retrieve_ms,
                first_token_ms=answer.timing.first_token_ms,
                total_ms=answer.timing.total_ms,
                created_at=now,
                answered_by=answer.answered_by,
            )
            turn.evidence = [
                _evidence_row(rank, item, is_nearest=is_nearest)
                for rank, (item, is_nearest) in enumerate(moments)
                if item.video in present
            ]
            turn.images = [
                TurnImageTable(place=place, jpeg=jpeg) for place, jpeg in enumerate(images)
            ]
            session.add(turn)
            session.flush()
            return _turn(turn)

    def turns(self, conversation: ConversationId) -> tuple[TurnRow, ...]:
        """Return the turns of a conversation, in order."""
        query = (
            select(TurnTable)
            .where(TurnTable.conversation_id == conversation)
            .order_by(TurnTable.ordinal)
        )
        with self._database.reading() as session:
            return tuple(map(_turn, session.scalars(query)))

    def image(self, conversation: ConversationId, ordinal: int, place: int) -> bytes:
        """Return the JPEG of an image that was shown beside a question.

        Raises:
            NotFoundError: There is none.
        """
        query = select(TurnImageTable.jpeg).where(
            TurnImageTable.conversation_id == conversation,
            TurnImageTable.ordinal == ordinal,
            TurnImageTable.place == place,
        )
        with self._database.reading() as session:
            jpeg = session.scalar(query)
        if jpeg is None:
            raise NotFoundError(f"no image {place} beside question {ordinal}")
        return bytes(jpeg)


def _row(
    session: Session, conversation: ConversationId, *, lock: bool = False
) -> ConversationTable:
    row = session.get(ConversationTable, conversation, with_for_update=lock or None)
    if row is None:
        raise NotFoundError(f"no conversation {conversation!r}")
    return row


def _evidence_row(rank: int, evidence: Evidence, *, is_nearest: bool) -> EvidenceTable:
    return EvidenceTable(
        rank=rank,
        video_id=evidence.video,
        start_s=evidence.span.start_s,
        end_s=evidence.span.end_s,
        score=evidence.score,
        origin=evidence.origin,
        keyframe_s=evidence.keyframe_s,
        is_nearest=is_nearest,
        observations=[keep_observation(row) for row in evidence.observations[:MOST_GROUNDS]],
    )


def _evidence(row: EvidenceTable) -> Evidence:
    video = VideoId(row.video_id)
    return Evidence(
        video=video,
        span=TimeSpan(start_s=row.start_s, end_s=row.end_s),
        score=row.score,
        origin=cast(Origin, row.origin),
        keyframe_s=row.keyframe_s,
        observations=tuple(kept_observation(video, kept) for kept in row.observations or ()),
    )


def _conversation(row: ConversationTable) -> ConversationRow:
    return ConversationRow(
        id=ConversationId(row.id),
        user=None if row.user_id is None else UserId(row.user_id),
        title=row.title,
        videos=tuple(map(VideoId, row.videos)),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _turn(row: TurnTable) -> TurnRow:
    return TurnRow(
        ordinal=row.ordinal,
        question=row.question,
        answer=row.answer,
        evidence=tuple(_evidence(item) for item in row.evidence if not item.is_nearest),
        nearest=tuple(_evidence(item) for item in row.evidence if item.is_nearest),
        answered_by=cast(AnsweredBy | None, row.answered_by),
        model=row.model,
        recall=cast(Recall, row.recall),
        searched_s=row.searched_s,
        recalled_chunks=row.recalled_chunks,
        timing=AnswerTiming(
            retrieve_ms=row.retrieve_ms,
            first_token_ms=row.first_token_ms,
            total_ms=row.total_ms,
        ),
        created_at=row.created_at,
        n_images=len(row.images),
    )
