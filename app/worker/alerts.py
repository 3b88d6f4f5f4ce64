"""The background of alerts: what is due is delivered, and cameras without a picture are noticed."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from app.schemas.destinations import DeliveryItem
from app.services.alert_silence import watch_silence
from app.services.context import ServiceContext
from app.services.delivery.outbox import deliver_due, deliver_next
from app.services.destinations import show_delivery
from app.services.servers import takes_turn
from app.worker.processes import is_dead, this_process
from engine.errors import LongwatchError

LOOK_EVERY_S: Final = 10.0
"""Between two looks of which nobody told: a sender that was killed leaves its deliveries so."""
_AGAIN_S: Final = 1.0
"""Pause where something is due that cannot be had: its destination has another one now."""
SILENCE_EVERY_S: Final = 5.0
N_SENDERS: Final = 3
"""Attempts at a time: one destination that does not answer holds up no other."""

_log = logging.getLogger(__name__)


@contextmanager
def alerts_beside(context: ServiceContext) -> Iterator[None]:
    """Deliver while a command runs, and before it ends, where rules may raise anything."""
    if not context.catalog.alert_rules.list(enabled_only=True):
        yield
        return
    with alerts_running(context):
        yield
    # What fails now is tried again by the next process.
    deliver_due(context, this_process())


@contextmanager
def alerts_running(
    context: ServiceContext, *, look_every_s: float = LOOK_EVERY_S
) -> Iterator[None]:
    """Deliver, and look for silent cameras, while the body runs.

    Args:
        look_every_s: Longest pause between two looks at the outbox.
    """
    over = threading.Event()
    events = [threading.Event() for _ in range(N_SENDERS)]

    def wake() -> None:
        for event in events:
            event.set()

    threads = [
        threading.Thread(
            target=_deliver, args=(context, over, event, look_every_s), name=f"outbox-{number}"
        )
        for number, event in enumerate(events)
    ]
    threads.append(threading.Thread(target=_listen, args=(context, over), name="silence"))
    with context.catalog.deliveries.hearing(wake):
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            yield
        finally:
            over.set()
            wake()
            for thread in threads:
                thread.join(timeout=20)


def deliver_now(context: ServiceContext, delivery: int) -> DeliveryItem:
    """Make an attempt for what is due, and return how a delivery stands then."""
    deliver_due(context, this_process())
    return show_delivery(context, delivery)


def _deliver(
    context: ServiceContext, over: threading.Event, event: threading.Event, look_every_s: float
) -> None:
    deliveries = context.catalog.deliveries
    while not over.is_set():
        # Before the look: what comes meanwhile is looked for again.
        event.clear()
        pause_s = look_every_s
        try:
            deliveries.abandon(is_dead)
            due_in_s = deliveries.due_in_s()
            if due_in_s == 0 and deliver_next(context, this_process()):
                continue
            if due_in_s is not None:
                pause_s = min(look_every_s, max(_AGAIN_S, due_in_s))
        except LongwatchError as error:
            # A busy database: the next look tries again.
            _log.warning("no look at the outbox: %s", error)
        if not over.is_set():
            event.wait(pause_s)


def _listen(context: ServiceContext, over: threading.Event) -> None:
    while not over.wait(SILENCE_EVERY_S):
        try:
            if takes_turn(context, "silence", lease_s=3 * SILENCE_EVERY_S):
                watch_silence(context, datetime.now(UTC))
        except LongwatchError as error:
            _log.warning("no look for silent cameras: %s", error)
