"""The index of recordings: which file of a camera holds which time."""

import builtins
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from engine.records import VideoId
from storage.camera_records import SegmentRow
from storage.camera_tables import SegmentTable
from storage.database import Database
from storage.records import CameraId


class Segments:
    """Files of recordings, by camera and time."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def put(self, segment: SegmentRow) -> None:
        """Add a file, or set how far one reaches that grows."""
        with self._database.writing() as session:
            row = _find(session, segment.camera, segment.name)
            if row is None:
                row = SegmentTable(camera_id=segment.camera, name=segment.name)
                session.add(row)
            row.video_id, row.start_at = segment.video, segment.start_at
            row.start_s, row.end_s = segment.start_s, segment.end_s
            row.n_bytes, row.is_open = segment.n_bytes, segment.is_open

    def list(
        self,
        camera: CameraId,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> tuple[SegmentRow, ...]:
        """Return the files of a camera in time order.

        Args:
            after: Only those that begin then or later.
            before: Only those that begin earlier.
        """
        query = select(SegmentTable).where(SegmentTable.camera_id == camera)
        if after is not None:
            query = query.where(SegmentTable.start_at >= after)
        if before is not None:
            query = query.where(SegmentTable.start_at < before)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(SegmentTable.start_at, SegmentTable.id))
            return tuple(map(_segment, rows))

    def latest(self, camera: CameraId, length: timedelta) -> tuple[SegmentRow, ...]:
        """Return the files that begin within some time before the newest, in time order."""
        newest = select(func.max(SegmentTable.start_at)).where(SegmentTable.camera_id == camera)
        with self._database.reading() as session:
            start_at = session.scalar(newest)
        return () if start_at is None else self.list(camera, after=start_at - length)

    def of_video(self, video: VideoId) -> tuple[SegmentRow, ...]:
        """Return the files of one part of a timeline, in time order."""
        query = select(SegmentTable).where(SegmentTable.video_id == video)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(SegmentTable.start_s, SegmentTable.id))
            return tuple(map(_segment, rows))

    def recorded(self, videos: Collection[VideoId]) -> frozenset[VideoId]:
        """Return those of some videos of which there is a recording."""
        query = select(SegmentTable.video_id).distinct()
        with self._database.reading() as session:
            known = {VideoId(video) for video in session.scalars(query) if video is not None}
        return frozenset(videos) & known

    def total_bytes(self, camera: CameraId) -> int:
        """Return the bytes of a camera's files."""
        query = select(func.coalesce(func.sum(SegmentTable.n_bytes), 0))
        with self._database.reading() as session:
            return int(session.scalar(query.where(SegmentTable.camera_id == camera)) or 0)

    def remove(self, camera: CameraId, names: Collection[str]) -> None:
        """Delete rows of files; the caller deletes the files."""
        some = builtins.list(names)
        with self._database.writing() as session:
            session.execute(
                delete(SegmentTable).where(
                    SegmentTable.camera_id == camera, SegmentTable.name.in_(some)
                )
            )


def _find(session: Session, camera: CameraId, name: str) -> SegmentTable | None:
    return session.scalar(
        select(SegmentTable).where(SegmentTable.camera_id == camera, SegmentTable.name == name)
    )


def _segment(row: SegmentTable) -> SegmentRow:
    return SegmentRow(
        camera=CameraId(row.camera_id),
        name=row.name,
        video=None if row.video_id is None else VideoId(row.video_id),
        start_at=row.start_at,
        start_s=row.start_s,
        end_s=row.end_s,
        n_bytes=row.n_bytes,
        is_open=row.is_open,
    )
