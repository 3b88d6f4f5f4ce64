"""Rules of alerts: standing questions, and how far each has looked at each video."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import InputRefusedError, NotFoundError
from engine.records import VideoId
from storage.alert_records import (
    AlertCounts,
    AlertRuleId,
    AlertRuleRow,
    AlertWatchRow,
)
from storage.alert_tables import AlertRuleTable, AlertTable, AlertWatchTable
from storage.database import Database
from storage.records import Json


class AlertRules:
    """The rules of one database."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(self, name: str, definition: Json, *, is_enabled: bool) -> AlertRuleRow:
        """Add a rule.

        Raises:
            InputRefusedError: The name is taken.
        """
        now = self._now()
        try:
            with self._database.writing() as session:
                row = AlertRuleTable(
                    name=name,
                    is_enabled=is_enabled,
                    definition=dict(definition),
                    revision=1,
                    created_at=now,
                    updated_at=now,
                )
                session.add(row)
                session.flush()
                return _rule(row)
        except IntegrityError as error:
            raise _taken(name) from error

    def find(self, name: str) -> AlertRuleRow:
        """Return a rule by its name.

        Raises:
            NotFoundError: There is none; the message names those that there are.
        """
        with self._database.reading() as session:
            return _rule(_named(session, name))

    def list(self, *, enabled_only: bool = False) -> tuple[AlertRuleRow, ...]:
        """Return rules in the order of their names."""
        query = select(AlertRuleTable).order_by(AlertRuleTable.name)
        if enabled_only:
            query = query.where(AlertRuleTable.is_enabled)
        with self._database.reading() as session:
            return tuple(map(_rule, session.scalars(query)))

    def change(
        self, name: str, *, new_name: str, definition: Json, is_enabled: bool
    ) -> AlertRuleRow:
        """Change a rule; another definition is another revision.

        Raises:
            NotFoundError: There is none.
            InputRefusedError: The new name is taken.
        """
        try:
            with self._database.writing() as session:
                row = _named(session, name)
                if dict(definition) != row.definition:
                    row.revision += 1
                row.name, row.is_enabled = new_name, is_enabled
                row.definition, row.updated_at = dict(definition), self._now()
                session.flush()
                return _rule(row)
        except IntegrityError as error:
            raise _taken(new_name) from error

    def remove(self, name: str) -> None:
        """Delete a rule; what it raised stays.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.writing() as session:
            session.execute(
                delete(AlertRuleTable).where(AlertRuleTable.id == _named(session, name).id)
            )

    def watch(self, rule: AlertRuleId, video: VideoId) -> AlertWatchRow | None:
        """Return how far a rule has looked at a video; `None` where it has not begun."""
        with self._database.reading() as session:
            row = session.get(AlertWatchTable, (rule, video))
            return None if row is None else AlertWatchRow(until_s=row.until_s, state=row.state)

    def set_watch(self, rule: AlertRuleId, video: VideoId, watch: AlertWatchRow) -> None:
        """Write down how far a rule has looked at a video, whatever it was before.

        Raises:
            NotFoundError: Rule or video were removed meanwhile.
        """
        with self._database.writing() as session:
            session.merge(
                AlertWatchTable(
                    rule_id=rule, video_id=video, until_s=watch.until_s, state=dict(watch.state)
                )
            )

    def counts(self) -> dict[AlertRuleId, AlertCounts]:
        """Return the alerts of every rule by what people said of them."""
        query = (
            select(AlertTable.rule_id, AlertTable.state, func.count())
            .where(AlertTable.rule_id.is_not(None))
            .group_by(AlertTable.rule_id, AlertTable.state)
        )
        numbers: dict[AlertRuleId, dict[str, int]] = {}
        with self._database.reading() as session:
            for rule, state, n in session.execute(query):
                assert rule is not None, "alerts without their rule are left out"
                numbers.setdefault(AlertRuleId(rule), {})[state] = n
        return {rule: AlertCounts(**by_state) for rule, by_state in numbers.items()}


def _named(session: Session, name: str) -> AlertRuleTable:
    row = session.scalar(select(AlertRuleTable).where(AlertRuleTable.name == name))
    if row is None:
        names = session.scalars(select(AlertRuleTable.name).order_by(AlertRuleTable.name))
        there = ", ".join(map(repr, names)) or "none yet"
        raise NotFoundError(f"no alert rule {name!r}", hint=f"there are {there}")
    return row


def _taken(name: str) -> InputRefusedError:
    return InputRefusedError(f"there is an alert rule {name!r} already", hint="choose another name")


def _rule(row: AlertRuleTable) -> AlertRuleRow:
    return AlertRuleRow(
        id=AlertRuleId(row.id),
        name=row.name,
        is_enabled=row.is_enabled,
        definition=row.definition,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
