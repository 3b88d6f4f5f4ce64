"""Deletion of videos by age, where the setting `retention.days` asks for it.

Age counts from the day a video was added, not from what its wall clock shows: an old recording
that somebody adds today is wanted today.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from app.services.context import ServiceContext
from app.services.library import remove_video
from engine.errors import LongwatchError
from storage.records import VideoRow

CHECK_EVERY_S = 3600.0

_log = logging.getLogger(__name__)


def expired_videos(
    context: ServiceContext, days: float | None, now: datetime
) -> tuple[VideoRow, ...]:
    """Return the videos that are older than some days, except those being read; oldest first."""
    if days is None:
        return ()
    before = now - timedelta(days=days)
    rows = context.catalog.videos.list("ready", "failed", "cancelled")
    return tuple(row for row in rows if row.created_at < before)


def delete_expired(context: ServiceContext, now: datetime) -> tuple[str, ...]:
    """Delete the videos that are past their days, except one being read; return their names."""
    days = context.settings.retention.days
    old = expired_videos(context, days, now)
    for row in old:
        remove_video(context, row)
        _log.info("retention deleted video %s, %g days after it was added", row.id, days)
    return tuple(row.name for row in old)


@contextmanager
def retention_loop(context: ServiceContext) -> Iterator[None]:
    """Delete expired videos every hour while the body runs; the setting may change meanwhile."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                delete_expired(context, datetime.now(UTC))
            except LongwatchError as error:
                # A busy database or a slow disk: the next hour tries again.
                _log.warning("expired videos could not be deleted: %s", error)
            over.wait(CHECK_EVERY_S)

    thread = threading.Thread(target=look, name="retention", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=20)
