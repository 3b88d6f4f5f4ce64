"""Deletion of videos by age, and of stills by age and size, where settings ask for it.

Age counts from the day a video was added, not from what its wall clock shows: an old recording
that somebody adds today is wanted today.

Decision: a retention that is shorter than the one in force, written into a file or the
environment, deletes nothing that the old one would keep until somebody has confirmed it or
`GRACE_HOURS` have passed: a wrong number in a file must not cost a library. What is in force lies
in a file of the home folder, because it outlives the process that first saw the new number; where
several servers share a library it lies in the database, and one of them deletes for all.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.schemas.common import MessageResponse
from app.services.background import repeating
from app.services.camera_retention import keep_within_limits
from app.services.context import ServiceContext
from app.services.library import remove_video
from app.services.servers import takes_turn
from engine.errors import UnreachableError
from engine.files import atomic_write_bytes
from storage.files import HomeFolder
from storage.records import VideoRow

CHECK_EVERY_S: Final = 3600.0
GRACE_HOURS: Final = 24
_STATE: Final = "retention"

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
    days = days_in_force(context, now)
    old = expired_videos(context, days, now)
    for row in old:
        remove_video(context, row)
        _log.info("retention deleted video %s, %g days after it was added", row.id, days)
    return tuple(row.name for row in old)


def days_in_force(context: ServiceContext, now: datetime) -> float | None:
    """Return the days after which videos leave now; a shorter retention waits for a while."""
    days, state = context.settings.retention.days, _read_state(context)
    if days is None or (state.days is not None and days >= state.days):
        _keep_state(context, _State(days=days), state)
        return days
    leaving = set(expired_videos(context, days, now)) - set(
        expired_videos(context, state.days, now)
    )
    if not leaving:
        _keep_state(context, _State(days=days), state)
        return days
    if state.wanted_days != days or state.wanted_at is None:
        state = _keep_state(
            context, _State(days=state.days, wanted_days=days, wanted_at=now), state
        )
    assert state.wanted_at is not None
    due_at = state.wanted_at + timedelta(hours=GRACE_HOURS)
    if now >= due_at:
        _keep_state(context, _State(days=days), state)
        return days
    _log.warning(
        "retention.days is %g now, which deletes more than before: %d of the videos, at %s; "
        "`longwatch retention confirm` deletes them at once",
        days,
        len(leaving),
        due_at.isoformat(timespec="minutes"),
    )
    return state.days


def confirm_retention(context: ServiceContext) -> MessageResponse:
    """Put the retention of the settings into force; the next look, within an hour, deletes.

    Raises:
        UnreachableError: The home folder cannot be written.
    """
    days = context.settings.retention.days
    _keep_state(context, _State(days=days), None)
    if days is None:
        return MessageResponse(message="retention.days is not set: every video is kept")
    n_leaving = len(expired_videos(context, days, datetime.now(UTC)))
    return MessageResponse(
        message=f"videos leave {days:g} days after they were added; {n_leaving} will be deleted "
        "within the hour"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    days: float | None = None
    """What is in force; `None` keeps everything."""
    wanted_days: float | None = None
    """A shorter retention that waits."""
    wanted_at: datetime | None = None
    """When it was first seen."""


def _read_state(context: ServiceContext) -> _State:
    """Return what was kept; where that cannot be read, nothing is in force."""
    try:
        if context.catalog.is_shared:
            kept = context.catalog.values.get(_STATE)
        else:
            kept = json.loads(HomeFolder(context.settings.home).retention.read_bytes())
        at = kept["wanted_at"]
        return _State(
            days=None if kept["days"] is None else float(kept["days"]),
            wanted_days=None if kept["wanted_days"] is None else float(kept["wanted_days"]),
            wanted_at=None if at is None else datetime.fromisoformat(at),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return _State()


def _keep_state(context: ServiceContext, state: _State, before: _State | None) -> _State:
    if state == before:
        return state
    kept = {
        "days": state.days,
        "wanted_days": state.wanted_days,
        "wanted_at": None if state.wanted_at is None else state.wanted_at.isoformat(),
    }
    if context.catalog.is_shared:
        context.catalog.values.put({_STATE: kept})
        return state
    home = HomeFolder(context.settings.home)
    home.create()
    path = home.retention
    try:
        atomic_write_bytes(path, json.dumps(kept).encode())
    except OSError as error:
        raise UnreachableError(
            f"{path} cannot be written: {error.strerror}", hint="check its owner and rights"
        ) from error
    return state


def delete_old_stills(context: ServiceContext, now: datetime) -> int:
    """Delete stills that are past their days, then the oldest beyond their bytes.

    Returns:
        Bytes that were deleted. Latents and answers stay; a picture that is gone is decoded from
        the original, where there is one.
    """
    keeping = context.settings.stills
    if keeping.days is None and keeping.disk_bytes is None:
        return 0
    before = None if keeping.days is None else now - timedelta(days=keeping.days)
    n_bytes = context.stills.expire(before=before, limit_bytes=keeping.disk_bytes)
    if n_bytes:
        _log.info("retention deleted %.1f MB of stills", n_bytes / 1e6)
    return n_bytes


@contextmanager
def retention_loop(context: ServiceContext) -> Iterator[None]:
    """Delete what is expired every hour while the body runs; settings may change meanwhile."""

    def look() -> None:
        # Of each home by whoever has it.
        delete_old_stills(context, datetime.now(UTC))
        if takes_turn(context, "retention", lease_s=0.9 * CHECK_EVERY_S):
            delete_expired(context, datetime.now(UTC))
            for camera in context.catalog.cameras.list():
                keep_within_limits(context, camera, datetime.now(UTC))

    # A busy database or a slow disk: the next hour tries again.
    trouble = "what is expired could not be deleted"
    with repeating(look, name="retention", every_s=CHECK_EVERY_S, trouble=trouble):
        yield
