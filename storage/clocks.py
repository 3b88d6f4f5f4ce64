"""The clock by which leases begin and end: one for all machines where a server has it."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from storage.database import Database


class LeaseClock:
    """The clock of leases: that of the server, on which all machines agree, where there is one."""

    def __init__(
        self,
        database: Database,
        *,
        local: Callable[[], datetime],
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Prepare the clock.

        Args:
            local: The clock of this machine, for a database that is a file.
            now: Takes the place of either, for tests that do not want to sleep.
        """
        self._database = database
        self._now = now or (local if database.is_sqlite else None)

    def __call__(self, session: Session) -> datetime:
        """Return the time within a transaction; costs a question to the server, if there is one."""
        return self._database.server_time(session) if self._now is None else self._now()
