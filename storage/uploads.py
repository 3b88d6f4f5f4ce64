"""Resumable uploads: how many bytes have arrived, and until when they are kept."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from engine.records import VideoId
from storage.database import Database
from storage.records import UploadId, UploadRow, UserId
from storage.tables import UploadTable


class Uploads:
    """Uploads of one database; their bytes are files that the caller keeps."""

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
    ) -> UploadRow:
        """Add an upload of which nothing has arrived yet."""
        with self._database.writing() as session:
            row = UploadTable(
                id=secrets.token_hex(12),
                user_id=user,
                name=name,
                size_bytes=size_bytes,
                details={},
                created_at=self._now(),
                expires_at=expires_at,
            )
            session.add(row)
            session.flush()
            return _upload(row)

    def get(self, upload: UploadId) -> UploadRow:
        """Return the upload of an id.

        Raises:
            NotFoundError: There is none, or it was cancelled.
        """
        with self._database.reading() as session:
            return _upload(_row(session, upload))

    def list(self, user: UserId | None = None) -> tuple[UploadRow, ...]:
        """Return every upload, or those of a user; oldest first."""
        query = select(UploadTable).order_by(UploadTable.created_at, UploadTable.id)
        if user is not None:
            query = query.where(UploadTable.user_id == user)
        with self._database.reading() as session:
            return tuple(map(_upload, session.scalars(query)))

    def advance(
        self, upload: UploadId, *, from_bytes: int, to_bytes: int, expires_at: datetime
    ) -> bool:
        """Record a part that is on disk; `False` when another request was faster."""
        is_unchanged = (UploadTable.id == upload, UploadTable.offset_bytes == from_bytes)
        values = {"offset_bytes": to_bytes, "expires_at": expires_at}
        with self._database.writing() as session:
            moved = session.execute(update(UploadTable).where(*is_unchanged).values(values))
            return cast(CursorResult[Any], moved).rowcount == 1

    def link_video(self, upload: UploadId, video: VideoId) -> UploadRow:
        """Record the video that a complete upload became."""
        with self._database.writing() as session:
            row = _row(session, upload)
            row.video_id = video
            return _upload(row)

    def expired(self) -> tuple[UploadRow, ...]:
        """Return uploads that were not continued in time and became no video."""
        query = select(UploadTable).where(
            UploadTable.expires_at <= self._now(), UploadTable.video_id.is_(None)
        )
        with self._database.reading() as session:
            return tuple(map(_upload, session.scalars(query)))

    def remove(self, upload: UploadId) -> None:
        """Delete an upload; the caller deletes its file."""
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
        video=None if row.video_id is None else VideoId(row.video_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
