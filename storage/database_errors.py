"""Errors for what the world does to a database: locked, full, damaged, read-only, away."""

from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from engine.errors import (
    DiskFullError,
    InputRefusedError,
    LongwatchError,
    NotFoundError,
    ReadOnlyError,
    StorageBusyError,
    UnreachableError,
)
from storage.read_only import is_full

# Beginnings of SQLite's error names and of PostgreSQL's SQLSTATE codes.
BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "40P01", "40001")
"""Locked, deadlocked or not serialisable."""
_ENDED = ("57014",)
"""Out of time by a limit of the server, or ended by its administrator."""
_FULL = ("SQLITE_FULL", "53100")
_NO_PARENT = ("SQLITE_CONSTRAINT_FOREIGNKEY", "23503")
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "XX001", "XX002")
_READ_ONLY = ("25006",)
_AWAY = (
    *("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR"),
    *("08", "25P03", "28", "3D", "42501", "53", "57P", "58"),
)
"""Missing, not writable, no such user, database or right, too many users, shut down or broken."""
_NO_SLOT = ("too many clients", "too many connections", "connection slots are reserved")
"""Said in English by the server, whose refusal of a connection has no code here."""


def read_only_error(where: str, hint: str) -> ReadOnlyError:
    """Return the error for a database that can be read, but not written to."""
    return ReadOnlyError(
        f"{where} cannot be written to: the library can be listed, searched and asked", hint=hint
    )


def no_space(where: str) -> DiskFullError:
    """Return the error for a database whose disk is full."""
    return DiskFullError(
        f"no space left for {where}", hint="free some space; what is stored is intact"
    )


def translated(error: DBAPIError, where: str) -> LongwatchError | None:
    """Return the error for what the world did to the database; `None` for a mistake of the code."""
    cause = error.orig
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    reason = (str(cause).strip() or "no answer").splitlines()[0]
    if code.startswith(BUSY):
        return StorageBusyError(
            f"{where} is locked by another process",
            hint="wait for it to finish, or stop it, and try again",
        )
    if code.startswith(_ENDED):
        return StorageBusyError(
            f"{where} did not finish: {reason}",
            hint="try again; where it stays so, raise statement_timeout of the server or this user",
        )
    # SQLite calls it an I/O error where the index of its log finds no room.
    is_unroomed = code.startswith("SQLITE_IOERR") and is_full(Path(where))
    if code.startswith(_FULL) or is_unroomed:
        return no_space(where)
    if code.startswith(_NO_PARENT):
        return NotFoundError("what this belongs to does not exist, or was removed meanwhile")
    if code.startswith(_DAMAGED):
        return UnreachableError(
            f"{where} is damaged or not a database of Longwatch",
            hint="restore a backup, or move it away to start empty",
        )
    if code.startswith(_READ_ONLY):
        return read_only_error(
            where, "see whether the server is a standby, or its database read-only"
        )
    # A server that never answered has no code to give.
    no_progress = isinstance(error, OperationalError) and not code
    if code == "53300" or any(words in reason for words in _NO_SLOT):
        return UnreachableError(
            f"{where} has no connection to spare: {reason}",
            hint="raise max_connections of the server, or run fewer servers and workers",
        )
    if no_progress or error.connection_invalidated or code.startswith(_AWAY):
        return UnreachableError(
            f"{where} cannot be used: {reason}",
            hint="check that it exists and that you may read and write it",
        )
    if isinstance(error, DataError):
        return InputRefusedError(f"this cannot be stored: {reason}")
    return None
