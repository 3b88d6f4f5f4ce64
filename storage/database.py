"""Connections, transactions and SQLite pragmas; errors of the database end here.

Every error that the world causes (locked, full, damaged, away) becomes one of `engine.errors`.
"""

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from engine.errors import (
    InputRefusedError,
    LongwatchError,
    MissingCapabilityError,
    StorageBusyError,
    UnreachableError,
)
from storage.database_errors import BUSY, no_space, read_only_error, translated
from storage.read_only import ReadOnlyFile, is_full, is_writable

BUSY_TIMEOUT_S = 10.0
"""Longest wait of a writer for another; a row takes milliseconds, so more than this is a stall."""

CONNECTIONS = 10
"""Most connections of a process to a server, which by default takes a hundred of all; a statement
takes milliseconds, so a few serve many threads."""

_KEPT_CONNECTIONS = 4
"""Connections that stay open while nobody needs them."""
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""A server that vanished without a word is noticed after a minute, not after hours."""
_RETRY_S = 0.01
_FILE = "sqlite:///"
_BEGIN = "longwatch_begin"
_MARK = {True: "PRAGMA data_version", False: "SELECT pg_current_snapshot()::text"}


class Database:
    """One SQLite file or PostgreSQL database."""

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        connections: int = CONNECTIONS,
    ) -> None:
        """Prepare the connections; none is opened yet.

        Args:
            url: `sqlite:////abs/longwatch.db`, `postgresql://...`.
            busy_timeout_s: How long a statement waits for a lock, or for a connection.
            connections: Most connections to a server at a time, besides two that stay.
        Raises:
            UnreachableError: The address cannot be understood.
            MissingCapabilityError: The driver is not installed.
        """
        self._read_only = _read_only_file(url, busy_timeout_s)
        self.engine = _engine(url, busy_timeout_s, self._read_only, connections)
        self._writing = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self.where = _address(self.engine.url)
        self._watch_lock = threading.Lock()
        self._watch: Any = None
        self._n_watches = 0

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file, not a server."""
        return self.engine.dialect.name == "sqlite"

    def change_mark(self) -> tuple[int, int | str] | None:
        """Return what differs whenever anybody has committed a change; `None` where nobody knows.

        Costs microseconds on SQLite. On PostgreSQL one question to the server: the snapshot is the
        set of transactions whose changes are to be seen, and so the same only if no other has
        ended meanwhile; a counter would move before its change can be seen, or hold up writers.
        """
        if self._read_only is not None:
            return None
        with self._watch_lock:
            try:
                if self._watch is None:
                    self._watch = self._open_watch()
                    self._n_watches += 1
                (mark,) = self._watch.execute(_MARK[self.is_sqlite]).fetchone()
            except (LongwatchError, self.driver_error):
                self._close_watch()
                return None
            return self._n_watches, mark

    def _open_watch(self) -> Any:
        if self.is_sqlite:
            # One that never writes: the number tells of the changes of all others.
            return sqlite3.connect(self.where, check_same_thread=False)
        return self._open_own()

    def _close_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that is rolled back at the end: for reading alone."""
        with self.translating(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction: all of it is committed at the end, or nothing on an exception.

        Raises:
            ReadOnlyError: The file cannot be written to.
        """
        self.check_writable()
        with self.translating(), Session(self._writing) as session, session.begin():
            yield session

    @contextmanager
    def write_connection(self) -> Iterator[Connection]:
        """Open a connection in a write transaction, for migrations.

        Raises:
            ReadOnlyError: The file cannot be written to.
        """
        self.check_writable()
        with self.translating(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a transaction that sees the database as it is now until its end: for reading."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.translating(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def own_connection(self) -> Iterator[Any]:
        """Open a connection of the driver, outside the pool, where each statement stands alone.

        Of PostgreSQL alone.
        """
        connection = self._open_own()
        try:
            yield connection
        finally:
            connection.close()

    def _open_own(self) -> Any:
        with self.translating():
            pooled = self.engine.raw_connection()
            connection = cast(Any, pooled.driver_connection)
            pooled.detach()
        connection.rollback()
        connection.autocommit = True
        return connection

    @property
    def driver_error(self) -> type[Exception]:
        """The class of every error that the driver raises where nothing translates it."""
        return cast(type[Exception], self.engine.dialect.loaded_dbapi.Error)

    def server_time(self, session: Session) -> datetime:
        """Return the time of the server, on which all machines agree; of PostgreSQL alone."""
        return cast(datetime, session.scalars(select(func.clock_timestamp())).one())

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        with self._watch_lock:
            self._close_watch()
        if self._read_only is not None:
            self._read_only.close()

    def check_writable(self) -> None:
        """Refuse a database that can only be read.

        Raises:
            ReadOnlyError: The file cannot be written to.
            DiskFullError: It could not when it was opened, for lack of space.
        """
        if self._read_only is not None:
            if is_writable(Path(self.where)):
                raise no_space(self.where)
            raise read_only_error(
                self.where, "check its owner and rights, and whether its disk is mounted read-only"
            )

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise the errors of the driver as those of `engine.errors`, where they have one."""
        try:
            yield
        except PoolTimeoutError as error:
            raise StorageBusyError(
                f"every connection to {self.where} is in use", hint="ask again in a moment"
            ) from error
        except UnicodeEncodeError as error:
            raise InputRefusedError(
                f"text that is not valid Unicode cannot be stored: {error.object!r}",
                hint="rename the file, or write it another way",
            ) from error
        except DBAPIError as error:
            sentence = translated(error, self.where)
            if sentence is None:
                raise
            raise sentence from error


def _read_only_file(url: str, busy_timeout_s: float) -> ReadOnlyFile | None:
    """Return the file of a database that exists and cannot be written to; `None` for others."""
    file = Path(url.removeprefix(_FILE))
    if not url.startswith(_FILE) or not file.exists():
        return None
    if is_writable(file) and not is_full(file):
        return None
    return ReadOnlyFile(file, busy_timeout_s=busy_timeout_s)


def _engine(
    url: str, busy_timeout_s: float, read_only: ReadOnlyFile | None, connections: int
) -> Engine:
    if url.startswith(_FILE):
        # Not parsed as an address: a folder may be called `what?`.
        file = Path(url.removeprefix(_FILE))
        if read_only is not None:
            return _read_only_sqlite(file, read_only)
        return _sqlite(file, busy_timeout_s)
    try:
        # SQLAlchemy would choose psycopg2 for a bare `postgresql:`; the `pg` extra brings psycopg.
        parsed = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))
        if parsed.get_backend_name() == "postgresql":
            return _postgresql(parsed, busy_timeout_s, connections)
    except ArgumentError:
        pass
    except ModuleNotFoundError as error:
        raise MissingCapabilityError(
            f"no driver for this database: {error}", hint="pip install 'longwatch[pg]'"
        ) from error
    raise UnreachableError(
        "the database address cannot be understood",
        hint="write it as postgresql://user:password@host/name, or leave it out",
    )


def _address(url: URL) -> str:
    """Return the address as users know it: the file, or the URL without its password."""
    if url.database and url.get_backend_name() == "sqlite":
        return url.database
    shown = url.difference_update_query(["password", "sslpassword"])
    return str(shown.set(drivername=url.get_backend_name()))


def _sqlite(file: Path, busy_timeout_s: float) -> Engine:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Created with its mode, which the files beside it take over: it holds password hashes.
        with suppress(FileExistsError, PermissionError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise UnreachableError(
            f"{file.parent}: the folder of the database cannot be made: {error.strerror}"
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        connect_args={"timeout": busy_timeout_s},
        # A traceback must not carry questions or password hashes into a log.
        hide_parameters=True,
    )
    event.listen(engine, "connect", partial(_set_pragmas, busy_timeout_s=busy_timeout_s))
    event.listen(engine, "begin", _begin)
    return engine


def _read_only_sqlite(file: Path, read_only: ReadOnlyFile) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(file)), creator=read_only.connect, hide_parameters=True
    )
    event.listen(engine, "connect", _begin_explicitly)
    event.listen(engine, "begin", _begin)
    return engine


def _postgresql(url: URL, busy_timeout_s: float, connections: int) -> Engine:
    options = f"-c lock_timeout={round(busy_timeout_s * 1000)} -c timezone=utc"
    return create_engine(
        url,
        connect_args={
            "options": f"{url.query.get('options', '')} {options}",
            "connect_timeout": 10,
            **_KEEPALIVES,
        },
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=max(0, connections - _KEPT_CONNECTIONS),
        pool_timeout=busy_timeout_s,
        # A server that restarted is noticed before a statement is lost to a dead connection.
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _set_pragmas(connection: sqlite3.Connection, record: object, *, busy_timeout_s: float) -> None:
    _begin_explicitly(connection, record)
    use_write_ahead_log(connection, busy_timeout_s=busy_timeout_s)
    # A row must survive a power cut as its fsynced file does; a chunk pays one fsync more.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def use_write_ahead_log(connection: sqlite3.Connection, *, busy_timeout_s: float) -> None:
    """Switch a file to the write-ahead log, which it keeps; does nothing where it is so already.

    Two that switch a new file at once each wait for the other: SQLite refuses one at once, whatever
    its timeout, so it is tried again here.

    Raises:
        sqlite3.OperationalError: The file is still locked after `busy_timeout_s`.
    """
    end_s = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(BUSY) or time.monotonic() > end_s:
                raise
        time.sleep(_RETRY_S)


def _begin_explicitly(connection: sqlite3.Connection, record: object) -> None:
    # The driver must not begin transactions by itself: `_begin` says which kind.
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
