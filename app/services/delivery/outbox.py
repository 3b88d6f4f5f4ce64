"""The outbox at work: one attempt for what is due, and what follows from how it ended.

A delivery is claimed in the database before anything is sent. A process that is killed in between
leaves that mark, and whoever takes over sends again under the same key and says that it may be a
repeat: nothing is lost, and nothing is sent twice without a word.
"""

import logging
import random
import secrets
from typing import Final

from app.schemas.alerts import AlertItem
from app.schemas.common import MessageResponse
from app.services.alerts import describe_alert
from app.services.context import ServiceContext
from app.services.delivery.mail import send_mail
from app.services.delivery.message import TEST, AlertMessage, takes_pictures
from app.services.delivery.mqtt import publish
from app.services.delivery.notify import notify
from app.services.delivery.outcome import Outcome
from app.services.delivery.webhook import post
from app.services.destinations import may_be_sent, read_destination
from app.timefmt import format_offset
from engine.errors import LongwatchError, NotFoundError, UnreachableError
from storage.alert_records import AlertRow, DeliveryRow, DestinationRow
from storage.catalog import utc_now

LEASE_S: Final = 120.0
"""Longer than any attempt may take, by the limits of its connections."""
MAX_ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 5.0
_FACTOR: Final = 4.0
_MOST_PAUSE_S: Final = 3600.0

_log = logging.getLogger(__name__)


def deliver_next(context: ServiceContext, owner: str) -> bool:
    """Make one attempt for the delivery that is due first; return whether there was one.

    Args:
        owner: Names the process in the row.
    """
    delivery = context.catalog.deliveries.claim(owner, lease_s=LEASE_S)
    if delivery is None:
        return False
    outcome = _attempt(context, delivery)
    pause_s = None if outcome.is_final else pause_before_next(delivery.attempts, outcome.wait_s)
    context.catalog.deliveries.settle(
        delivery,
        error=outcome.error,
        retry_in_s=pause_s,
        may_have_arrived=outcome.may_have_arrived,
    )
    if outcome.error is not None:
        level = logging.WARNING if pause_s is None else logging.INFO
        outlook = "given up" if pause_s is None else f"tried again in {pause_s:.0f} s"
        _log.log(level, "delivery %d: %s; %s", delivery.id, outcome.error, outlook)
    return True


def deliver_due(context: ServiceContext, owner: str) -> int:
    """Make an attempt for everything that is due now; return how many."""
    n_attempts = 0
    while deliver_next(context, owner):
        n_attempts += 1
    return n_attempts


def pause_before_next(attempts: int, wait_s: float | None = None) -> float | None:
    """Return how long to wait after so many attempts; `None` where it is given up.

    A fifth of chance, so that a receiver that comes back is not met by everybody at once.

    Args:
        wait_s: As the receiver asks.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    pause_s = min(_MOST_PAUSE_S, FIRST_PAUSE_S * _FACTOR ** (attempts - 1))
    return max(wait_s or 0.0, pause_s) * random.uniform(1.0, 1.2)


def send_test(context: ServiceContext, name: str) -> MessageResponse:
    """Send a destination a message that says it is a test.

    Raises:
        NotFoundError: No such destination, or its secret is not here.
        UnreachableError: It did not take it; the message says why.
    """
    row = context.catalog.destinations.find(name)
    message = AlertMessage(
        key=f"msg_{secrets.token_hex(12)}",
        alert=_test_alert(name),
        picture=None,
        is_repeat=False,
        kind=TEST,
    )
    outcome = send(context, row, message)
    if outcome.error is not None:
        raise UnreachableError(outcome.error, hint="check the address and that it is running")
    return MessageResponse(message=f"{name} has taken a test message ({message.key})")


def send(context: ServiceContext, row: DestinationRow, message: AlertMessage) -> Outcome:
    """Send a message to a destination.

    Raises:
        NotFoundError: Its secret is not here.
    """
    secret, shown = read_destination(context, row), f"{row.name} ({row.address})"
    if row.kind == "webhook":
        return post(secret, message, shown)
    if row.kind == "mqtt":
        return publish(secret, message, row.options, shown)
    if row.kind == "email":
        return send_mail(secret, message, row.options, shown)
    return notify(secret, message, shown)


def _attempt(context: ServiceContext, delivery: DeliveryRow) -> Outcome:
    try:
        row = context.catalog.destinations.get(delivery.destination)
        alert = context.catalog.alerts.get(delivery.alert)
        if not may_be_sent(context, row, alert.video):
            return Outcome(error=f"{row.name} may not see this video any more", is_final=True)
        return send(context, row, _message(context, delivery, row, alert))
    except NotFoundError as error:
        return Outcome(error=error.message, is_final=True)
    except LongwatchError as error:
        return Outcome(error=error.message)


def _message(
    context: ServiceContext, delivery: DeliveryRow, row: DestinationRow, alert: AlertRow
) -> AlertMessage:
    picture = context.catalog.alerts.picture(alert.id) if takes_pictures(row) else None
    return AlertMessage(
        key=delivery.key,
        alert=describe_alert(context, alert, context.labels()),
        picture=picture,
        is_repeat=delivery.is_repeat,
    )


def _test_alert(name: str) -> AlertItem:
    now = utc_now().isoformat(timespec="milliseconds")
    return AlertItem(
        video_id="test",
        video="test",
        start_s=0.0,
        end_s=0.0,
        start=format_offset(0.0),
        end=format_offset(0.0),
        start_at=now,
        end_at=now,
        alert_id=0,
        camera_id=None,
        camera=None,
        rule="test",
        revision=0,
        state="open",
        peak_s=0.0,
        score=0.0,
        reason=f"this is a test of {name}",
        judged_by="clock",
        evidence=[],
        has_picture=False,
        raised_at=now,
        decided_at=None,
        decided_by=None,
    )
