"""Verdicts: moments that people confirmed or rejected, with what had been asked."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, select

from engine.errors import NotFoundError
from engine.records import TimeSpan, VideoId
from storage.database import Database
from storage.records import UserId
from storage.tables import UserTable, VideoTable
from storage.verdict_records import Verdict, VerdictId, VerdictOrigin, VerdictRow
from storage.verdict_tables import VerdictTable


class Verdicts:
    """Verdicts, one of each user on a moment and a query."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def put(self, user: UserId, verdict: Verdict) -> VerdictRow:
        """Keep a verdict in place of what the user said of the same moment before.

        Raises:
            NotFoundError: The video was removed meanwhile.
        """
        now = self._now()
        with self._database.writing() as session:
            if session.get(VideoTable, verdict.video) is None:
                raise NotFoundError(f"no video {verdict.video!r}")
            row = session.scalar(
                select(VerdictTable).where(
                    VerdictTable.user_id == user,
                    VerdictTable.video_id == verdict.video,
                    VerdictTable.start_s == verdict.span.start_s,
                    VerdictTable.end_s == verdict.span.end_s,
                    VerdictTable.query == verdict.query,
                )
            )
            if row is None:
                row = VerdictTable(
                    user_id=user,
                    video_id=verdict.video,
                    start_s=verdict.span.start_s,
                    end_s=verdict.span.end_s,
                    query=verdict.query,
                    created_at=now,
                )
                session.add(row)
            row.peak_s, row.is_right = verdict.peak_s, verdict.is_right
            row.origin, row.kind, row.score = verdict.origin, verdict.kind, verdict.score
            row.updated_at = now
            session.flush()
            return _row(row, None)

    def list(
        self, user: UserId | None = None, *, query: str | None = None
    ) -> tuple[VerdictRow, ...]:
        """Return verdicts in the order in which they were given.

        Args:
            user: Only of this one; of everyone when `None`.
            query: Only on what this found.
        """
        statement = (
            select(VerdictTable, UserTable.name)
            .outerjoin(UserTable, UserTable.id == VerdictTable.user_id)
            .order_by(VerdictTable.id)
        )
        if user is not None:
            statement = statement.where(VerdictTable.user_id == user)
        if query is not None:
            statement = statement.where(VerdictTable.query == query)
        with self._database.reading() as session:
            return tuple(_row(row, name) for row, name in session.execute(statement))

    def remove(self, user: UserId, video: VideoId, span: TimeSpan, query: str) -> None:
        """Take back what a user said of a moment; nothing where they said nothing."""
        with self._database.writing() as session:
            session.execute(
                delete(VerdictTable).where(
                    VerdictTable.user_id == user,
                    VerdictTable.video_id == video,
                    VerdictTable.start_s == span.start_s,
                    VerdictTable.end_s == span.end_s,
                    VerdictTable.query == query,
                )
            )


def _row(row: Any, account: str | None) -> VerdictRow:
    return VerdictRow(
        id=VerdictId(row.id),
        user=None if row.user_id is None else UserId(row.user_id),
        account=account,
        verdict=Verdict(
            video=VideoId(row.video_id),
            span=TimeSpan(start_s=row.start_s, end_s=row.end_s),
            peak_s=row.peak_s,
            query=row.query,
            is_right=row.is_right,
            origin=cast(VerdictOrigin, row.origin),
            kind=row.kind,
            score=row.score,
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
