"""Leases: a piece of work that one of many processes does at a time, whoever takes it first."""

from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, or_, update
from sqlalchemy.exc import IntegrityError

from storage.clocks import LeaseClock
from storage.database import Database
from storage.server_tables import LeaseTable


class Leases:
    """Leases of one database; one that is not renewed in time is anybody's."""

    def __init__(self, database: Database, clock: LeaseClock) -> None:
        self._database = database
        self._clock = clock

    def take(self, name: str, owner: str, *, lease_s: float) -> bool:
        """Take a lease, or extend one's own, to `lease_s` from now; `False` where another has it.

        Args:
            owner: Of this process and this piece of work alone.
        """
        try:
            with self._database.writing() as session:
                now = self._clock(session)
                values = {"owner": owner, "until": now + timedelta(seconds=lease_s)}
                is_free = or_(LeaseTable.owner == owner, LeaseTable.until < now)
                free = update(LeaseTable).where(LeaseTable.name == name, is_free).values(**values)
                if cast(CursorResult[Any], session.execute(free)).rowcount == 1:
                    return True
                if session.get(LeaseTable, name) is not None:
                    return False
                session.add(LeaseTable(name=name, **values))
                return True
        except IntegrityError:
            # Another was faster.
            return False

    def release(self, name: str, owner: str) -> None:
        """Give a lease back; one that another has by now stays theirs."""
        is_own = (LeaseTable.name == name, LeaseTable.owner == owner)
        with self._database.writing() as session:
            session.execute(delete(LeaseTable).where(*is_own))
