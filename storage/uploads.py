"""Files on their way in: how much is here, and until when it is kept."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from engine.records import VideoId
from storage.database import Database
from storage.records import Json, UploadId, UploadRow, UserId
from storage.tables import UploadTable


class Uploads:
    """Resumable uploads; their bytes are files, these rows say where each one stands."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        *,
        name: str,
        size_bytes: int,
        expires_at: datetime,
        user: UserId | None = None,
        metadata: Json | None = None,
    ) -> UploadRow:
        """Announce a file."""
        with self._database.writing() as session:
            row = UploadTable(
                id=secrets.token_hex(12),
                user_id=user,
                name=name,
                size_bytes=size_bytes,
                details=dict(metadata or {}),
                created_at=self._now(),
                expires_at=expires_at,
            )
            session.add(row)
            session.flush()
            return _upload(row)

    def get(self, upload: UploadId) -> UploadRow:
        """The upload of an id.

        Raises:
            NotFoundError: There is none, or it was given up.
        """
        with self._database.reading() as session:
            return _upload(_row(session, upload))

    def listed(self, user: UserId | None = None) -> tuple[UploadRow, ...]:
        """Every upload, or those of a user; oldest first."""
        query = select(UploadTable).order_by(UploadTable.created_at, UploadTable.id)
        if user is not None:
            query = query.where(UploadTable.user_id == user)
        with self._database.reading() as session:
            return tuple(map(_upload, session.scalars(query)))

    def advance(
        self, upload: UploadId, *, from_bytes: int, to_bytes: int, expires_at: datetime
    ) -> bool:
        """Note a part that is on disk; `False` when another request was faster."""
        at = (UploadTable.id == upload, UploadTable.offset_bytes == from_bytes)
        values = {"offset_bytes": to_bytes, "expires_at": expires_at}
        with self._database.writing() as session:
            moved = session.execute(update(UploadTable).where(*at).values(values))
            return cast(CursorResult[Any], moved).rowcount == 1

    def became(self, upload: UploadId, video: VideoId) -> UploadRow:
        """Note the video that a whole upload turned into."""
        with self._database.writing() as session:
            row = _row(session, upload)
            row.video_id = video
            return _upload(row)

    def expired(self) -> tuple[UploadRow, ...]:
        """Uploads that nobody continued in time and that became no video."""
        query = select(UploadTable).where(
            UploadTable.expires_at <= self._now(), UploadTable.video_id.is_(None)
        )
        with self._database.reading() as session:
            return tuple(map(_upload, session.scalars(query)))

    def remove(self, upload: UploadId) -> None:
        """Forget an upload; its file is the caller's."""
        with self._database.writing() as session:
            session.execute(delete(UploadTable).where(UploadTable.id == upload))


def _row(session: Session, upload: UploadId) -> UploadTable:
    row = session.get(UploadTable, upload)
    if row is None:
        raise NotFoundError(f"no upload {upload!r}")
    return row


def _upload(row: UploadTable) -> UploadRow:
    return UploadRow(
        id=UploadId(row.id),
        user=None if row.user_id is None else UserId(row.user_id),
        name=row.name,
        size_bytes=row.size_bytes,
        offset_bytes=row.offset_bytes,
        metadata=row.details,
        video=None if row.video_id is None else VideoId(row.video_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
