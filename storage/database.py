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
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from engine.errors import (
    DiskFullError,
    InputRefusedError,
    LongwatchError,
    MissingCapabilityError,
    NotFoundError,
    ReadOnlyError,
    StorageBusyError,
    UnreachableError,
)
from storage.read_only import ReadOnlyFile, is_full, is_writable

BUSY_TIMEOUT_S = 10.0
"""Longest wait of a writer for another; a row takes milliseconds, so more than this is a stall."""

_RETRY_S = 0.01
_FILE = "sqlite:///"
_BEGIN = "longwatch_begin"
# Beginnings of SQLite's error names and of PostgreSQL's SQLSTATE codes.
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "40P01", "40001", "57014")
"""Locked, deadlocked, not serialisable, or out of time."""
_FULL = ("SQLITE_FULL", "53100")
_NO_PARENT = ("SQLITE_CONSTRAINT_FOREIGNKEY", "23503")
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "XX001", "XX002")
_AWAY = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "08", "28", "3D", "53", "57P")
"""Missing, not writable, no such user or database, or shutting down."""


class Database:
    """One SQLite file or PostgreSQL database."""

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Prepare the connections; none is opened yet.

        Args:
            url: `sqlite:////abs/longwatch.db`, `postgresql://...`.
            busy_timeout_s: How long a statement waits for a lock.
        Raises:
            UnreachableError: The address cannot be understood.
            MissingCapabilityError: The driver is not installed.
        """
        self._read_only = _read_only_file(url, busy_timeout_s)
        self.engine = _engine(url, busy_timeout_s, self._read_only)
        self._writing = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self.where = _address(self.engine.url)
        self._watch_lock = threading.Lock()
        self._watch: sqlite3.Connection | None = None
        self._n_watches = 0

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file, not a server."""
        return self.engine.dialect.name == "sqlite"

    def change_mark(self) -> tuple[int, int] | None:
        """Return what differs whenever anybody has committed a change; `None` where nobody knows.

        Of SQLite alone, where it takes microseconds.
        """
        if not self.is_sqlite or self._read_only is not None:
            return None
        with self._watch_lock:
            try:
                if self._watch is None:
                    # One that never writes: the number tells of the changes of all others.
                    self._watch = sqlite3.connect(self.where, check_same_thread=False)
                    self._n_watches += 1
                (version,) = self._watch.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                return None
            return self._n_watches, int(version)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that is rolled back at the end: for reading alone."""
        with self._translate_errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction: all of it is committed at the end, or nothing on an exception.

        Raises:
            ReadOnlyError: The file cannot be written to.
        """
        self.check_writable()
        with self._translate_errors(), Session(self._writing) as session, session.begin():
            yield session

    @contextmanager
    def write_connection(self) -> Iterator[Connection]:
        """Open a connection in a write transaction, for migrations.

        Raises:
            ReadOnlyError: The file cannot be written to.
        """
        self.check_writable()
        with self._translate_errors(), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        with self._watch_lock:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
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
                raise _no_space(self.where)
            raise ReadOnlyError(
                f"{self.where} cannot be written to: the library can be listed, searched and asked",
                hint="check its owner and rights, and whether its disk is mounted read-only",
            )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
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
            translated = _translated(error, self.where)
            if translated is None:
                raise
            raise translated from error


def _read_only_file(url: str, busy_timeout_s: float) -> ReadOnlyFile | None:
    """Return the file of a database that exists and cannot be written to; `None` for others."""
    file = Path(url.removeprefix(_FILE))
    if not url.startswith(_FILE) or not file.exists():
        return None
    if is_writable(file) and not is_full(file):
        return None
    return ReadOnlyFile(file, busy_timeout_s=busy_timeout_s)


def _engine(url: str, busy_timeout_s: float, read_only: ReadOnlyFile | None) -> Engine:
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
            return _postgresql(parsed, busy_timeout_s)
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
    return url.database if url.database and url.get_backend_name() == "sqlite" else str(url)


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


def _postgresql(url: URL, busy_timeout_s: float) -> Engine:
    options = f"-c lock_timeout={round(busy_timeout_s * 1000)} -c timezone=utc"
    return create_engine(
        url,
        connect_args={
            "options": f"{url.query.get('options', '')} {options}",
            "connect_timeout": 10,
        },
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
            if not error.sqlite_errorname.startswith(_BUSY) or time.monotonic() > end_s:
                raise
        time.sleep(_RETRY_S)


def _begin_explicitly(connection: sqlite3.Connection, record: object) -> None:
    # The driver must not begin transactions by itself: `_begin` says which kind.
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _no_space(where: str) -> DiskFullError:
    return DiskFullError(
        f"no space left for {where}", hint="free some space; what is stored is intact"
    )


def _translated(error: DBAPIError, where: str) -> LongwatchError | None:
    """Return the error for what the world did to the database; `None` for a mistake of the code."""
    cause = error.orig
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    reason = (str(cause).strip() or "no answer").splitlines()[0]
    if code.startswith(_BUSY):
        return StorageBusyError(
            f"{where} is locked by another process",
            hint="wait for it to finish, or stop it, and try again",
        )
    # SQLite calls it an I/O error where the index of its log finds no room.
    is_unroomed = code.startswith("SQLITE_IOERR") and is_full(Path(where))
    if code.startswith(_FULL) or is_unroomed:
        return _no_space(where)
    if code.startswith(_NO_PARENT):
        return NotFoundError("what this belongs to does not exist, or was removed meanwhile")
    if code.startswith(_DAMAGED):
        return UnreachableError(
            f"{where} is damaged or not a database of Longwatch",
            hint="restore a backup, or move it away to start empty",
        )
    # A server that never answered has no code to give.
    no_progress = isinstance(error, OperationalError) and not code
    if no_progress or error.connection_invalidated or code.startswith(_AWAY):
        return UnreachableError(
            f"{where} cannot be used: {reason}",
            hint="check that it exists and that you may read and write it",
        )
    if isinstance(error, DataError):
        return InputRefusedError(f"this cannot be stored: {reason}")
    return None
