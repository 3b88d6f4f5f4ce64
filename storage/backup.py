"""A consistent copy of the database while others write to it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from engine.errors import UnreachableError
from engine.files import create_private
from storage.database import BUSY_TIMEOUT_S
from storage.read_only import ReadOnlyFile


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database as it stands now; writers go on meanwhile.

    Args:
        source: A database that exists; its write-ahead log is taken along.
        target: Created or replaced.
    Raises:
        UnreachableError: It cannot be read, or the copy cannot be written.
    Source: https://www.sqlite.org/backup.html
    """
    target.unlink(missing_ok=True)
    create_private(target)
    try:
        with (
            closing(ReadOnlyFile(source, busy_timeout_s=BUSY_TIMEOUT_S)) as file,
            closing(file.connect()) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        raise UnreachableError(f"{source}: cannot be copied ({error})") from error
