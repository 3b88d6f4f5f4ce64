"""An SQLite file that cannot be written to: on a read-only mount, of another user, on a full disk.

A database in WAL mode wants to write even to be read: its `-shm` file has to be there. Three ways
are tried, each right where the one before it fails.
"""

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_LEAST_FREE_BYTES: Final = 128 * 1024
"""The index of the log takes 32 KiB at once, and a transaction a few pages of 4 KiB in the log."""


def is_writable(file: Path) -> bool:
    """Tell whether this process may write a database and the files beside it."""
    return os.access(file.parent, os.W_OK | os.X_OK) and (
        not file.exists() or os.access(file, os.W_OK)
    )


def is_full(file: Path) -> bool:
    """Tell whether the disk of a database has no room for the files beside it."""
    return shutil.disk_usage(file.parent).free < _LEAST_FREE_BYTES


class ReadOnlyFile:
    """One database file, and the copy of it where it can be read in no other way."""

    def __init__(self, file: Path, *, busy_timeout_s: float) -> None:
        self._file = file
        self._timeout_s = busy_timeout_s
        self._copy: TemporaryDirectory[str] | None = None

    def connect(self) -> sqlite3.Connection:
        """Open a connection that cannot write, and creates nothing beside the file.

        Raises:
            sqlite3.Error: The file is missing, unreadable or damaged.
        """
        try:
            # Beside a writer: the files that it shares with its readers are there.
            return self._open(self._file, "mode=ro")
        except sqlite3.OperationalError:
            if not self._has_log():
                # Whole in itself. Nobody writes: a writer would have made its log.
                return self._open(self._file, "mode=ro&immutable=1")
        # A writer was killed here, and its log holds rows: only a copy may be recovered.
        return self._open(self._copied(), "mode=rw")

    def close(self) -> None:
        """Delete the copy, if there is one."""
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def _has_log(self) -> bool:
        log = self._log(self._file)
        return log.exists() and log.stat().st_size > 0

    def _copied(self) -> Path:
        if self._copy is None:
            self._copy = TemporaryDirectory(prefix="longwatch-")
            shutil.copyfile(self._file, Path(self._copy.name) / self._file.name)
            copy = Path(self._copy.name) / self._file.name
            shutil.copyfile(self._log(self._file), self._log(copy))
        return Path(self._copy.name) / self._file.name

    def _log(self, file: Path) -> Path:
        return file.with_name(f"{file.name}-wal")

    def _open(self, file: Path, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{file.resolve().as_uri()}?{options}",
            uri=True,
            timeout=self._timeout_s,
            check_same_thread=False,
        )
        try:
            # The first statement that looks into the file is the one that needs the others.
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection
