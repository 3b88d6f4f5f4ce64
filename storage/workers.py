"""Workers that divide jobs without an end among themselves: which are there, and for how many."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select

from storage.camera_tables import WorkerTable
from storage.clocks import LeaseClock
from storage.database import Database

_FORGOTTEN_AFTER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it last told of itself."""

    name: str
    """As its leases have it."""
    places: int
    """Jobs without an end that it does at a time."""
    started_at: datetime
    seen_at: datetime


class Workers:
    """The workers of one database."""

    def __init__(self, database: Database, clock: LeaseClock) -> None:
        self._database = database
        self._clock = clock

    def announce(self, name: str, *, places: int) -> None:
        """Add a worker, or record that it is still there; long silent ones are forgotten."""
        with self._database.writing() as session:
            now = self._clock(session)
            row = session.get(WorkerTable, name)
            if row is None:
                row = WorkerTable(name=name, started_at=now)
                session.add(row)
            row.places, row.seen_at = places, now
            session.execute(delete(WorkerTable).where(WorkerTable.seen_at < now - _FORGOTTEN_AFTER))

    def present(self, *, silent_s: float) -> tuple[WorkerRow, ...]:
        """Return the workers that were heard of within some seconds, by name."""
        query = select(WorkerTable).order_by(WorkerTable.name)
        with self._database.reading() as session:
            since = self._clock(session) - timedelta(seconds=silent_s)
            query = query.where(WorkerTable.seen_at >= since)
            return tuple(map(_worker, session.scalars(query)))

    def remove(self, name: str) -> None:
        """Delete a worker that stops."""
        with self._database.writing() as session:
            session.execute(delete(WorkerTable).where(WorkerTable.name == name))


def _worker(row: WorkerTable) -> WorkerRow:
    return WorkerRow(
        name=row.name, places=row.places, started_at=row.started_at, seen_at=row.seen_at
    )
