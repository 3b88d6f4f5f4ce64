"""The outbox: alerts on their way to destinations.

queued --claim--> sending --settle--> delivered
  ^                 |-----settle------> queued again for later, or dead
  |---lease expires: the next claim sends again, and what it sends says that it may be a repeat

A claim is written before anything is sent, so that a process that is killed in between leaves a
mark. Nothing can be sent exactly once to somebody else; a repeat has the key of the first. Whoever
sends is told of what is due (`storage/notifications.py`), and need not ask all the time.
"""

import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, and_, func, or_, select, update
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from storage.alert_records import (
    AlertId,
    DeliveryId,
    DeliveryRow,
    DeliveryState,
    DestinationId,
)
from storage.alert_tables import DeliveryTable
from storage.clocks import LeaseClock
from storage.database import Database
from storage.notifications import Notifications

DELIVERIES: Final = "deliveries"
"""The topic under which it is told that something is due."""


class Deliveries:
    """The outbox of one database."""

    def __init__(self, database: Database, clock: LeaseClock, notifications: Notifications) -> None:
        self._database = database
        self._clock = clock
        self._notifications = notifications

    @contextmanager
    def hearing(self, hear: Callable[[], None]) -> Iterator[None]:
        """Call `hear` whenever something may be due, by any process, while the body runs."""
        with self._notifications.hearing(DELIVERIES, lambda _: hear()):
            yield

    def claim(self, owner: str, *, lease_s: float) -> DeliveryRow | None:
        """Claim the oldest delivery that is due, or whose sender has died.

        Of one destination one is under way at a time, in the order in which they were raised, as
        long as none waits for another attempt.

        Args:
            owner: Names the process in the row.
            lease_s: How long the claim holds.
        """
        with self._database.writing() as session:
            now = self._clock(session)
            is_due, is_left = _due(now), _left(now)
            is_held = and_(DeliveryTable.state == "sending", DeliveryTable.lease_until >= now)
            busy = select(DeliveryTable.destination_id).where(is_held)
            query = (
                select(DeliveryTable)
                .where(or_(is_due, is_left), DeliveryTable.destination_id.not_in(busy))
                .order_by(DeliveryTable.run_at, DeliveryTable.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = session.scalar(query)
            if row is None:
                return None
            # Whoever held it began to send: it may have arrived.
            row.is_repeat = row.is_repeat or row.state == "sending"
            row.state, row.attempts = "sending", row.attempts + 1
            row.lease = f"{owner}#{secrets.token_hex(4)}"
            row.lease_until = now + timedelta(seconds=lease_s)
            session.flush()
            return _delivery(row)

    def due_in_s(self) -> float | None:
        """Return the seconds until a claim may find something, 0 when it may now; costs no write.

        `None` where nothing is on its way. What others are sending does not count.
        """
        waits = DeliveryTable.state == "queued"
        with self._database.reading() as session:
            now = self._clock(session)
            query = select(DeliveryTable.id).where(or_(_due(now), _left(now))).limit(1)
            if session.scalar(query) is not None:
                return 0.0
            run_at = session.scalar(select(func.min(DeliveryTable.run_at)).where(waits))
            return None if run_at is None else max(0.0, (run_at - now).total_seconds())

    def abandon(self, is_dead: Callable[[str | None], bool]) -> int:
        """Let the next claim take over at once what dead processes were sending.

        Args:
            is_dead: Whether the process of a lease is known to be gone.
        """
        with self._database.reading() as session:
            held = session.execute(
                select(DeliveryTable.id, DeliveryTable.lease).where(
                    DeliveryTable.state == "sending",
                    DeliveryTable.lease_until >= self._clock(session),
                )
            ).all()
        dead = [(identity, lease) for identity, lease in held if is_dead(lease)]
        for identity, lease in dead:
            with self._database.writing() as session:
                past = self._clock(session) - timedelta(seconds=1)
                session.execute(
                    update(DeliveryTable)
                    .where(DeliveryTable.id == identity, DeliveryTable.lease == lease)
                    .values(lease_until=past)
                )
        return len(dead)

    def settle(
        self,
        delivery: DeliveryRow,
        *,
        error: str | None = None,
        retry_in_s: float | None = None,
        may_have_arrived: bool = False,
    ) -> bool:
        """Write down how an attempt ended.

        Args:
            error: Why it failed; delivered when `None`.
            retry_in_s: Pause before the next attempt; none is made when `None`.
            may_have_arrived: Whether the receiver may have it all the same, as after a silence.
        Returns:
            Whether the claim was still held; a late sender changes nothing.
        """
        is_held = and_(
            DeliveryTable.id == delivery.id,
            DeliveryTable.state == "sending",
            DeliveryTable.lease == delivery.lease,
        )
        with self._database.writing() as session:
            now = self._clock(session)
            values: dict[str, Any] = {"lease": None, "lease_until": None, "error": error}
            if error is None:
                values |= {"state": "delivered", "ended_at": now}
            elif retry_in_s is None:
                values |= {"state": "dead", "ended_at": now}
            else:
                values |= {"state": "queued", "run_at": now + timedelta(seconds=retry_in_s)}
            if error is not None and may_have_arrived:
                values["is_repeat"] = True
            result = session.execute(update(DeliveryTable).where(is_held).values(**values))
            return cast(CursorResult[Any], result).rowcount == 1

    def list(
        self,
        *,
        states: Collection[DeliveryState] = (),
        alert: AlertId | None = None,
        limit: int | None = None,
    ) -> tuple[DeliveryRow, ...]:
        """Return deliveries, the latest first: all, in some states, or those of an alert."""
        query = select(DeliveryTable).order_by(DeliveryTable.id.desc()).limit(limit)
        if states:
            query = query.where(DeliveryTable.state.in_(states))
        if alert is not None:
            query = query.where(DeliveryTable.alert_id == alert)
        with self._database.reading() as session:
            return tuple(map(_delivery, session.scalars(query)))

    def mark_repeats(self) -> None:
        """Mark all that is on its way as perhaps sent already: this is a copy of another outbox."""
        with self._database.writing() as session:
            is_open = DeliveryTable.state.in_(["queued", "sending"])
            session.execute(update(DeliveryTable).where(is_open).values(is_repeat=True))

    def get(self, delivery: DeliveryId) -> DeliveryRow:
        """Return the delivery of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _delivery(_row(session, delivery))

    def retry(self, delivery: DeliveryId) -> DeliveryRow:
        """Make a delivery that is dead, or waits for another attempt, due at once, as if new.

        Raises:
            NotFoundError: There is no such delivery.
        """
        with self._database.writing() as session:
            row = _row(session, delivery)
            if row.state in {"dead", "queued"}:
                row.state, row.attempts, row.ended_at = "queued", 0, None
                row.run_at = self._clock(session)
                self._notifications.publish_with(session, DELIVERIES)
            session.flush()
            return _delivery(row)


def _due(now: datetime) -> ColumnElement[bool]:
    # A first attempt is due whatever the clock of the machine that raised the alert.
    is_time = or_(DeliveryTable.attempts == 0, DeliveryTable.run_at <= now)
    return and_(DeliveryTable.state == "queued", is_time)


def _left(now: datetime) -> ColumnElement[bool]:
    return and_(DeliveryTable.state == "sending", DeliveryTable.lease_until < now)


def _row(session: Session, delivery: DeliveryId) -> DeliveryTable:
    row = session.get(DeliveryTable, delivery)
    if row is None:
        raise NotFoundError(f"no delivery {delivery}")
    return row


def _delivery(row: DeliveryTable) -> DeliveryRow:
    return DeliveryRow(
        id=DeliveryId(row.id),
        alert=AlertId(row.alert_id),
        destination=DestinationId(row.destination_id),
        key=row.key,
        state=cast(DeliveryState, row.state),
        attempts=row.attempts,
        run_at=row.run_at,
        lease=row.lease,
        lease_until=row.lease_until,
        is_repeat=row.is_repeat,
        error=row.error,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
