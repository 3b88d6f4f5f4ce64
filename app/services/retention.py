"""Videos leave the library by age, where the setting `retention.days` says so.

Age counts from the day a video was added, not from what its wall clock shows: an old recording
that somebody adds today is wanted today.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from app.services.context import Service

CHECK_EVERY_S = 3600.0

_log = logging.getLogger(__name__)


def delete_expired(service: Service, now: datetime) -> tuple[str, ...]:
    """Forget the videos that are past their days, and name them; one being read stays."""
    days = service.settings.retention.days
    if days is None:
        return ()
    before = now - timedelta(days=days)
    old = [
        row
        for row in service.catalog.videos.listed("ready", "failed", "cancelled")
        if row.created_at < before
    ]
    for row in old:
        service.remove_video(row.id)
        _log.info("retention deleted video %s, %g days after it was added", row.id, days)
    return tuple(row.name for row in old)


@contextmanager
def retention_loop(service: Service) -> Iterator[None]:
    """Look every hour while the body runs; the setting may change meanwhile."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            delete_expired(service, datetime.now(UTC))
            over.wait(CHECK_EVERY_S)

    thread = threading.Thread(target=look, name="retention", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=20)
