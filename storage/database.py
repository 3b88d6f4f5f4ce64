"""Engine, sessions and SQLite pragmas; every error of the database ends here as a sentence."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from engine.errors import (
    DiskFullError,
    LongwatchError,
    MissingCapabilityError,
    StorageBusyError,
    UnreachableError,
)

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another; a chunk's row takes milliseconds, so this is a stall."""

_BEGIN = "longwatch_begin"
_BUSY = frozenset({"55P03", "40P01", "40001", "57014"})
"""SQLSTATE: lock not available, deadlock, serialisation failure, statement timeout."""
_FULL = frozenset({"53100"})
_SQLITE_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})


class Database:
    """One SQLite file or PostgreSQL database, opened."""

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Connects to nothing yet.

        Args:
            url: `sqlite:////abs/longwatch.db`, `postgresql://...`.
            busy_timeout_s: How long a statement waits for a lock.
        Raises:
            UnreachableError: The address cannot be understood.
            MissingCapabilityError: The driver is not installed.
        """
        self.engine = _engine(url, busy_timeout_s)
        self._writing = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self.where = self.engine.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file of ours, not a server."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view; nothing that it returns may be changed."""
        with self._sentences(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: all of it is committed at the end, or none."""
        with self._sentences(), Session(self._writing) as session, session.begin():
            yield session

    @contextmanager
    def connecting(self) -> Iterator[Connection]:
        """A bare connection in a write transaction: what migrations run on."""
        with self._sentences(), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise StorageBusyError(
                f"every connection to {self.where} is in use", hint="ask again in a moment"
            ) from error
        except DBAPIError as error:
            sentence = _sentence(error, self.where)
            if sentence is None:
                raise
            raise sentence from error


def _engine(url: str, busy_timeout_s: float) -> Engine:
    try:
        # SQLAlchemy would choose psycopg2 for a bare `postgresql:`; the `pg` extra brings psycopg.
        parsed = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed, connect_args={"timeout": busy_timeout_s})
            event.listen(engine, "connect", _set_pragmas)
            event.listen(engine, "begin", _begin)
            return engine
        lock_ms = round(busy_timeout_s * 1000)
        options = f"{parsed.query.get('options', '')} -c lock_timeout={lock_ms} -c timezone=utc"
        return create_engine(
            parsed,
            connect_args={"options": options, "connect_timeout": 10},
            pool_pre_ping=True,
        )
    except ArgumentError as error:
        raise UnreachableError(
            "the database address cannot be understood",
            hint="write it as postgresql://user:password@host/name",
        ) from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise MissingCapabilityError(
            f"no driver for this database: {error}", hint="pip install 'longwatch[pg]'"
        ) from error
    except OSError as error:
        raise UnreachableError(f"the folder of the database cannot be made: {error}") from error


def _set_pragmas(connection: sqlite3.Connection, record: object) -> None:
    # The driver must not begin transactions by itself: `_begin` says which kind.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # A row must survive a power cut as its fsynced file does; a chunk pays one fsync more.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _sentence(error: DBAPIError, where: str) -> LongwatchError | None:
    """What happened, for what the world does to a database; `None` for our own mistakes."""
    cause: Any = error.orig
    sqlite_name = str(getattr(cause, "sqlite_errorname", ""))
    state = getattr(cause, "sqlstate", None) or ""
    if state in _BUSY or any(sqlite_name.startswith(name) for name in _SQLITE_BUSY):
        return StorageBusyError(
            f"{where} is locked by another process",
            hint="wait for it to finish, or stop it, and try again",
        )
    if state in _FULL or sqlite_name == "SQLITE_FULL":
        return DiskFullError(
            f"no space left for {where}", hint="free some space; what is stored is intact"
        )
    if sqlite_name in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        return UnreachableError(
            f"{where} is damaged or not a database of ours",
            hint="put a backup in its place, or move it away to start empty",
        )
    unreachable = sqlite_name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR"))
    # A server that is gone answers with class 08 or 57P, or with no SQLSTATE at all.
    gone = error.connection_invalidated or state.startswith(("08", "57P", "28", "3D", "53"))
    if unreachable or gone or (cause.__class__.__name__ == "OperationalError" and not sqlite_name):
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else "no answer"
        return UnreachableError(f"{where} cannot be used: {reason}", hint="is it there, and ours?")
    return None
