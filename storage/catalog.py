"""The catalog: one repository a noun over one database; what the application opens."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from storage.accounts import Accounts
from storage.alert_rules import AlertRules
from storage.alerts import Alerts
from storage.cameras import Cameras
from storage.captions import Captions
from storage.chunks import Chunks
from storage.clocks import LeaseClock
from storage.conversations import Conversations
from storage.database import BUSY_TIMEOUT_S, CONNECTIONS, Database
from storage.deliveries import Deliveries
from storage.destinations import Destinations
from storage.jobs import Jobs
from storage.leases import Leases
from storage.library_values import LibraryValues
from storage.migrations import upgrade
from storage.nodes import Nodes
from storage.notifications import Notifications
from storage.objects import Objects
from storage.observations import Observations
from storage.probes import Probes
from storage.segments import Segments
from storage.server_facts import ServerFacts, server_facts
from storage.sign_in_failures import SignInFailures
from storage.tallies import Tallies
from storage.uploads import Uploads
from storage.verdicts import Verdicts
from storage.videos import Videos
from storage.workers import Workers


def utc_now() -> datetime:
    """Return the time now, as an aware UTC datetime: the clock of every row."""
    return datetime.now(UTC)


class Catalog:
    """All repositories of one database: records in, records out; safe to share by threads."""

    def __init__(self, database: Database, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        leases = LeaseClock(database, local=utc_now, now=now)
        now = now or utc_now
        self.notifications = Notifications(database)
        self.videos = Videos(database, now)
        self.chunks = Chunks(database, now)
        self.jobs = Jobs(database, leases, self.notifications)
        self.workers = Workers(database, leases)
        self.conversations = Conversations(database, now)
        self.probes = Probes(database, now)
        self.captions = Captions(database, now)
        self.observations = Observations(database)
        self.cameras = Cameras(database, now)
        self.segments = Segments(database, now)
        self.tallies = Tallies(database)
        self.accounts = Accounts(database, now)
        self.uploads = Uploads(database, now)
        self.verdicts = Verdicts(database, now)
        self.alert_rules = AlertRules(database, now)
        self.alerts = Alerts(database, now, self.notifications)
        self.destinations = Destinations(database, now)
        self.deliveries = Deliveries(database, leases, self.notifications)
        self.objects = Objects(database, now)
        self.leases = Leases(database, leases)
        self.sign_in_failures = SignInFailures(database)
        self.nodes = Nodes(database, leases)
        self.values = LibraryValues(database)

    @property
    def where(self) -> str:
        """The address of the database, without its password."""
        return self._database.where

    @property
    def is_shared(self) -> bool:
        """Whether servers of several machines may use it: a database server, not a file."""
        return not self._database.is_sqlite

    def server(self) -> ServerFacts | None:
        """Return how the server is; `None` where the database is a file."""
        return server_facts(self._database)

    def check_writable(self) -> None:
        """Refuse a database that can only be read, before work that would end in a write.

        Raises:
            ReadOnlyError: The file cannot be written to.
        """
        self._database.check_writable()

    def close(self) -> None:
        """Close every connection; using the catalog again opens new ones."""
        self.notifications.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_catalog(
    url: str,
    *,
    now: Callable[[], datetime] | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    connections: int = CONNECTIONS,
) -> Catalog:
    """Open a database and bring its tables up to date.

    Args:
        url: `sqlite:////home/of/longwatch.db` or `postgresql://user:password@host/name`.
        now: The clock; tests bring their own. Without one, rows are written with that of this
            machine, and leases on a server with that of the server.
        busy_timeout_s: How long a statement waits for another process.
        connections: Most connections to a server at a time, besides two that stay.
    Raises:
        UnreachableError: It cannot be reached, is damaged, or was written by a newer Longwatch.
        StorageBusyError: Another process holds it.
        DiskFullError: There is no room for its tables.
        MissingCapabilityError: The driver is not installed.
    """
    database = Database(url, busy_timeout_s=busy_timeout_s, connections=connections)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return Catalog(database, now)
