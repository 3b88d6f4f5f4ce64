"""Facts of a database server, for who looks after it."""

from dataclasses import dataclass

from sqlalchemy import text

from storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """The state of a PostgreSQL server, as one of its users sees it."""

    version: str
    size_bytes: int
    is_read_only: bool
    n_connections: int
    """Of all its users."""
    most_connections: int


_FACTS = text(
    "SELECT current_setting('server_version'), pg_database_size(current_database()), "
    "pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, "
    "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
    "current_setting('max_connections')::int"
)


def server_facts(database: Database) -> ServerFacts | None:
    """Ask a server how it is; `None` where the database is a file.

    Raises:
        UnreachableError: It cannot be reached.
    """
    if database.is_sqlite:
        return None
    with database.reading() as session:
        row = session.execute(_FACTS).one()
    version, size_bytes, is_read_only, n_connections, most_connections = row
    return ServerFacts(
        version=str(version).split()[0],
        size_bytes=int(size_bytes),
        is_read_only=bool(is_read_only),
        n_connections=int(n_connections),
        most_connections=int(most_connections),
    )
