"""Destinations of alerts, as far as they may be shown: secrets lie in files of their own."""

from collections.abc import Callable
from datetime import datetime
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import InputRefusedError, NotFoundError
from storage.alert_records import DestinationId, DestinationKind, DestinationRow
from storage.alert_tables import AlertDestinationTable
from storage.database import Database
from storage.records import Json, UserId


class Destinations:
    """The places that alerts of one database may be sent to."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        name: str,
        kind: DestinationKind,
        address: str,
        options: Json,
        *,
        user: UserId | None = None,
    ) -> DestinationRow:
        """Add a destination.

        Args:
            address: As it may be shown.
            user: Whose videos alone are sent there.
        Raises:
            InputRefusedError: The name is taken.
        """
        try:
            with self._database.writing() as session:
                row = AlertDestinationTable(
                    name=name,
                    kind=kind,
                    address=address,
                    options=dict(options),
                    user_id=user,
                    created_at=self._now(),
                )
                session.add(row)
                session.flush()
                return _destination(row)
        except IntegrityError as error:
            raise InputRefusedError(
                f"there is a destination {name!r} already", hint="choose another name"
            ) from error

    def get(self, destination: DestinationId) -> DestinationRow:
        """Return the destination of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            row = session.get(AlertDestinationTable, destination)
            if row is None:
                raise NotFoundError(f"no destination {destination}")
            return _destination(row)

    def find(self, name: str) -> DestinationRow:
        """Return a destination by its name.

        Raises:
            NotFoundError: There is none; the message names those that there are.
        """
        with self._database.reading() as session:
            return _destination(_named(session, name))

    def list(self) -> tuple[DestinationRow, ...]:
        """Return every destination in the order of names."""
        query = select(AlertDestinationTable).order_by(AlertDestinationTable.name)
        with self._database.reading() as session:
            return tuple(map(_destination, session.scalars(query)))

    def remove(self, name: str) -> DestinationId:
        """Delete a destination, and what waits to be sent there.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.writing() as session:
            row = _named(session, name)
            identity = DestinationId(row.id)
            session.execute(
                delete(AlertDestinationTable).where(AlertDestinationTable.id == identity)
            )
            return identity


def _named(session: Session, name: str) -> AlertDestinationTable:
    row = session.scalar(select(AlertDestinationTable).where(AlertDestinationTable.name == name))
    if row is None:
        names = session.scalars(
            select(AlertDestinationTable.name).order_by(AlertDestinationTable.name)
        )
        there = ", ".join(map(repr, names)) or "none yet"
        raise NotFoundError(f"no destination {name!r}", hint=f"there are {there}")
    return row


def _destination(row: AlertDestinationTable) -> DestinationRow:
    return DestinationRow(
        id=DestinationId(row.id),
        name=row.name,
        kind=cast(DestinationKind, row.kind),
        address=row.address,
        options=row.options,
        user=None if row.user_id is None else UserId(row.user_id),
        created_at=row.created_at,
    )
