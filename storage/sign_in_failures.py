"""Failed sign-ins, counted together by all servers of a library."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.database import Database
from storage.server_tables import SignInFailureTable as Table

SignInKey = tuple[str, str]
"""A name and the address that it was tried from; the name is empty where it is any."""
_NO_COUNT: Final = {"count": 0, "last_at": 0.0, "retry_at": 0.0}


@dataclass(slots=True)
class SignInFailure:
    """Failures under one key; times in seconds of the clock that counts them."""

    count: int = 0
    last_at: float = 0.0
    retry_at: float = 0.0


class SignInFailures:
    """Failures in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def changing(
        self, keys: Sequence[SignInKey], *, forget_before: float, most: int
    ) -> Iterator[dict[SignInKey, SignInFailure]]:
        """Yield the failures of some keys, which nobody else changes meanwhile, to be changed.

        What has no count at the end is deleted; nothing changes where the body raises.

        Args:
            forget_before: Failures that are older are deleted.
            most: Keys that are kept; of more the oldest are deleted.
        """
        with self._database.writing() as session:
            self._add(session, sorted(keys))
            query = select(Table).where(tuple_(Table.name, Table.address).in_(keys))
            rows = session.scalars(query.order_by(Table.name, Table.address).with_for_update())
            kept = {(row.name, row.address): row for row in rows}
            failures = {
                key: SignInFailure(row.count, row.last_at, row.retry_at)
                if row.last_at > forget_before
                else SignInFailure()
                for key, row in kept.items()
            }
            yield failures
            for key, row in kept.items():
                changed = failures[key]
                row.count, row.last_at, row.retry_at = (
                    changed.count, changed.last_at, changed.retry_at,
                )  # fmt: skip
            session.flush()
            excess = select(Table.last_at).order_by(Table.last_at.desc()).offset(most).limit(1)
            session.execute(delete(Table).where(Table.last_at <= forget_before))
            session.execute(delete(Table).where(Table.last_at <= excess.scalar_subquery()))

    def _add(self, session: Session, keys: Sequence[SignInKey]) -> None:
        """Add the rows that are missing: a row that is not there cannot be locked."""
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        rows = [{"name": name, "address": address, **_NO_COUNT} for name, address in keys]
        session.execute(insert(Table).values(rows).on_conflict_do_nothing())
