"""Values that are one for a library, whichever of its servers asks."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from storage.database import Database
from storage.server_tables import LibraryValueTable


class LibraryValues:
    """Small JSON values by name, with the order in which they changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Any:
        """Return a value; `None` where there is none."""
        with self._database.reading() as session:
            row = session.get(LibraryValueTable, name)
            return None if row is None else row.value

    def claim(self, name: str, value: Any) -> Any:
        """Set a value where there is none yet, and return the one that holds: the first wins."""
        try:
            with self._database.writing() as session:
                row = session.get(LibraryValueTable, name)
                if row is not None:
                    return row.value
                session.add(LibraryValueTable(name=name, value=value, revision=0))
                session.flush()
                return value
        except IntegrityError:
            return self.get(name)

    def put(self, values: Mapping[str, Any]) -> int:
        """Set values, and return their revision, above that of every change before."""
        with self._database.writing() as session:
            if not self._database.is_sqlite:
                # One after the other: a reader that saw the later one has seen the earlier.
                session.execute(text("LOCK TABLE library_values IN EXCLUSIVE MODE"))
            newest = session.scalar(select(func.max(LibraryValueTable.revision)))
            revision = (newest or 0) + 1
            for name in sorted(values):
                row = session.get(LibraryValueTable, name)
                if row is None:
                    row = LibraryValueTable(name=name)
                    session.add(row)
                row.value, row.revision = values[name], revision
            return revision

    def since(self, revision: int) -> tuple[int, dict[str, Any]]:
        """Return the newest revision, and the values that changed after another."""
        query = select(LibraryValueTable).where(LibraryValueTable.revision > revision)
        with self._database.reading() as session:
            rows = session.scalars(query).all()
            newest = max((row.revision for row in rows), default=revision)
            return newest, {row.name: row.value for row in rows}
