"""All videos as records, kept until the database changes: a question about a library of thousands
must not make thousands of records again, several times over.

What has changed is told by the rows themselves, by their versions or column by column as the
database holds them; only those that differ are made anew.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.records import Fingerprint, VideoId
from storage.database import Database
from storage.records import VideoRow
from storage.tables import VideoTable
from storage.video_record import video_record

_MOST_IDS: Final = 500
"""Ids in one statement: databases bound the number of its parameters."""


class VideoList:
    """The videos of one database, for every thread of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # PostgreSQL names the version of a row; on SQLite the columns are read as fast.
        self._version = "videos.*" if database.is_sqlite else "xmin, ctid"
        self._lock = threading.Lock()
        self._mark: object = None
        self._columns: dict[VideoId, tuple[Any, ...]] = {}
        self._records: dict[VideoId, VideoRow] = {}
        self._ordered: tuple[VideoRow, ...] = ()
        self._readings: dict[VideoId, Fingerprint] = {}

    def rows(self) -> tuple[VideoRow, ...]:
        """Return every video, whatever its status, oldest first.

        Cost: nothing where the database says that it has not changed; else one pass over the
            columns, and a record for each row that has.
        """
        with self._lock:
            mark = self._database.change_mark()
            if mark is None or mark != self._mark:
                self._catch_up()
                self._mark = mark
            return self._ordered

    def by_id(self) -> Mapping[VideoId, VideoRow]:
        """Return every video by its id; the same object while nothing changes."""
        self.rows()
        return self._records

    def readings(self) -> Mapping[VideoId, Fingerprint]:
        """Return the pipeline that has read each video; the same object while nothing changes."""
        self.rows()
        return self._readings

    def _catch_up(self) -> None:
        with self._database.reading() as session:
            columns = {
                VideoId(row[0]): tuple(row)
                for row in session.connection().execute(
                    text(f"SELECT id, {self._version} FROM videos ORDER BY created_at, id")
                )
            }
            changed = [id for id, row in columns.items() if self._columns.get(id) != row]
            if not changed and len(columns) == len(self._columns):
                return
            kept = {id: row for id, row in self._records.items() if id in columns}
            # A list of all would be longer than what it asks for.
            ids = changed if len(changed) < len(columns) else None
            self._records = kept | dict(_records(session, ids))
        self._columns = columns
        self._ordered = tuple(self._records[id] for id in columns if id in self._records)
        self._readings = {
            row.id: row.fingerprint for row in self._ordered if row.fingerprint is not None
        }


def _records(session: Session, ids: Sequence[VideoId] | None) -> Iterator[tuple[VideoId, VideoRow]]:
    """Yield the records of some videos; of all when `None`."""
    # Columns, for mapped objects take twice as long: whole libraries are read at a start.
    query = select(*VideoTable.__table__.columns)
    parts = [query]
    if ids is not None:
        starts = range(0, len(ids), _MOST_IDS)
        parts = [query.where(VideoTable.id.in_(ids[start : start + _MOST_IDS])) for start in starts]
    for part in parts:
        for row in session.execute(part):
            yield VideoId(row.id), video_record(row)
