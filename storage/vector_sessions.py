"""Connections for vectors: the driver's own, without a question to the server before each use.

SQLAlchemy knows no COPY, and a search asks the server two or three times: each time counts.
"""

import select
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from storage.database import Database

_SETTINGS: Final = (
    # A server that crashes loses the last changes together: they are read from the files again.
    "SET synchronous_commit = off; SET jit = off; SET hnsw.iterative_scan = relaxed_order; "
    "SET hnsw.max_scan_tuples = 20000; "
    # Sums over chunks come in their order nearly; in a hash that spills they took a minute and more
    # of a million frames.
    "SET enable_hashagg = off; SET work_mem = '64MB'"
)
_MOST_IDLE: Final = 8


class VectorSessions:
    """The connections of one database; they are opened when needed and kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._idle: list[Any] = []

    @contextmanager
    def __call__(self, *, writes: bool = False) -> Iterator[Any]:
        """Open a cursor that puts values into statements itself, so that several may go together.

        Args:
            writes: Whether all that is done is one transaction; else each statement is its own.
        Raises:
            UnreachableError: The server is away, or goes away meanwhile; others of `Database`.
        """
        dialect = self._database.engine.dialect
        driver = dialect.loaded_dbapi
        with self._database.translating():
            connection = self._taken()
            try:
                with closing(connection.cursor()) as cursor:
                    if writes:
                        with connection.transaction():
                            yield cursor
                    else:
                        yield cursor
            except driver.Error as error:
                raise DBAPIError.instance(
                    None, None, error, driver.Error, hide_parameters=True, dialect=dialect
                ) from error
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _taken(self) -> Any:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._opened()
            # What a server says unasked is that it goes.
            if not connection.closed and not select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()

    def _opened(self) -> Any:
        engine = self._database.engine
        pooled = engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        connection.cursor_factory = engine.dialect.loaded_dbapi.ClientCursor
        with closing(connection.cursor()) as cursor:
            cursor.execute(_SETTINGS)
        return connection

    def _give_back(self, connection: Any) -> None:
        is_idle = not connection.closed and connection.info.transaction_status.name == "IDLE"
        with self._lock:
            if is_idle and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()
