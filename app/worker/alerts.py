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
from app.worker.processes import is_dead, this_process
from engine.errors import LongwatchError

LOOK_EVERY_S: Final = 1.0
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
def alerts_running(context: ServiceContext) -> Iterator[None]:
    """Deliver, and look for silent cameras, while the body runs."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_deliver, args=(context, over), name=f"outbox-{number}")
        for number in range(N_SENDERS)
    ]
    threads.append(threading.Thread(target=_listen, args=(context, over), name="silence"))
    for thread in threads:
        thread.daemon = True
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=20)


def deliver_now(context: ServiceContext, delivery: int) -> DeliveryItem:
    """Make an attempt for what is due, and return how a delivery stands then."""
    deliver_due(context, this_process())
    return show_delivery(context, delivery)


def _deliver(context: ServiceContext, over: threading.Event) -> None:
    while not over.is_set():
        try:
            context.catalog.deliveries.abandon(is_dead)
            if context.catalog.deliveries.is_due() and deliver_next(context, this_process()):
                continue
        except LongwatchError as error:
            # A busy database: the next look tries again.
            _log.warning("no look at the outbox: %s", error)
        over.wait(LOOK_EVERY_S)


def _listen(context: ServiceContext, over: threading.Event) -> None:
    while not over.wait(SILENCE_EVERY_S):
        try:
            watch_silence(context, datetime.now(UTC))
        except LongwatchError as error:
            _log.warning("no look for silent cameras: %s", error)
