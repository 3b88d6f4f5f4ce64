"""Wall clocks of videos: read when a video is added, corrected later, continued over chapters.

Decision: a user's word goes before the recorder's own header, that before the file's name, and
that before a tag of the container, because recorders stamp header and name when they film, while
`creation_time` may be the end of a recording, its export, or local time under the name of UTC.
Decision: digits that were read without a zone stay the same digits when the zone of a video is
corrected, so they become another moment; a moment that stated its zone stays that moment. The zone
they were read in is therefore kept with the video, whatever the settings say later.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from app.config.settings import Settings
from app.services.context import ServiceContext
from app.services.recordings import chapters_of
from app.services.sidecar import save_sidecar
from app.timefmt import parse_zone, to_utc
from engine.errors import InputRefusedError
from engine.media.chapters import chapter_of
from engine.media.wall_clock import RECORDER_TAG, clock_of_name, clock_of_tags
from engine.records import MediaInfo
from storage.records import JobRow, StartClock, StartSource, VideoRow

OWN_CLOCKS: Final[frozenset[StartSource | None]] = frozenset({"recorder", "file_name"})
"""Clocks of the recorder itself, which hold where a folder is given one start for all."""

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)
"""Time zones, and clocks that go fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """Changes of a video's wall clock."""

    start_at: datetime | None = None
    """A new start, in the local time of the video where it has no zone."""
    removes_start: bool = False
    timezone: str | None = None
    """Where it was filmed."""
    removes_timezone: bool = False


NO_CHANGE: Final = ClockChange()


def check_zone(name: str) -> str:
    """Return the name of a time zone that there is.

    Raises:
        InputRefusedError: There is none.
    """
    try:
        parse_zone(name)
    except ValueError as error:
        raise InputRefusedError(
            f"{name!r} is no time zone",
            hint="use a name such as Europe/Berlin, or an offset like +05:30",
        ) from error
    return name.strip()


def user_clock(settings: Settings, start_at: datetime, timezone: str | None) -> StartClock:
    """Return the wall clock that a user gives.

    Args:
        timezone: Of the video; the setting's, or this machine's, when `None`.
    Raises:
        InputRefusedError: Before 1970, or later than tomorrow: nothing was filmed then; or there
            is no such zone.
    """
    zone = settings.media.zone(None if timezone is None else check_zone(timezone))
    moment = to_utc(start_at, zone)
    if not _FIRST <= moment <= datetime.now(UTC) + _AHEAD:
        raise InputRefusedError(
            f"nothing can have been filmed at {start_at.isoformat(sep=' ')}",
            hint="give the date and time of the first frame, from 1970 to today",
        )
    return StartClock(at=moment, source="user", is_local=start_at.tzinfo is None)


def read_clock(
    settings: Settings, media: MediaInfo, file_name: str, timezone: str | None
) -> StartClock | None:
    """Return the wall clock that a file states itself: in its header, its name, or a tag.

    Of a later chapter the tag states the start of the whole recording, and is left out.
    """
    recorded_at = dict(media.tags).get(RECORDER_TAG) if media.container == "dhav" else None
    chapter = chapter_of(file_name)
    is_later = chapter is not None and chapter.part > 1
    stated: tuple[tuple[StartSource, datetime | None], ...] = (
        ("recorder", None if recorded_at is None else datetime.fromisoformat(recorded_at)),
        ("file_name", clock_of_name(file_name, settings.media.file_name_clocks)),
        ("container", None if is_later else clock_of_tags(media.tags, file_name)),
    )
    for source, moment in stated:
        if moment is not None:
            at = to_utc(moment, settings.media.zone(timezone))
            return StartClock(at=at, source=source, is_local=moment.tzinfo is None)
    return None


def kept_zone(settings: Settings, clock: StartClock | None, timezone: str | None) -> str | None:
    """Return the zone to keep with a clock: the one its digits were read in, or the one given."""
    if timezone is not None or clock is None or not clock.is_local:
        return timezone
    if settings.media.timezone is not None:
        return settings.media.timezone
    return clock.at.astimezone().isoformat()[-6:]


def change_clock(context: ServiceContext, video: VideoRow, change: ClockChange) -> VideoRow:
    """Correct the wall clock of a video, or its zone; nothing is read again.

    Chapters behind it that continue its clock follow.

    Raises:
        InputRefusedError: No such zone, or no moment at which anything was filmed.
    """
    settings, timezone = context.settings, video.timezone
    if change.timezone is not None:
        timezone = check_zone(change.timezone)
    elif change.removes_timezone:
        timezone = None
    clock = video.clock
    if clock is not None and clock.is_local and timezone != video.timezone:
        digits = clock.at.astimezone(settings.media.zone(video.timezone)).replace(tzinfo=None)
        clock = replace(clock, at=to_utc(digits, settings.media.zone(timezone)))
    if change.start_at is not None:
        clock = user_clock(settings, change.start_at, timezone)
    elif change.removes_start:
        clock = None
    return save_clock(context, video, clock, timezone=kept_zone(settings, clock, timezone))


def save_clock(
    context: ServiceContext,
    video: VideoRow,
    clock: StartClock | None,
    *,
    timezone: str | None,
    holder: JobRow | None = None,
) -> VideoRow:
    """Write a wall clock down, beside the latents too, and have later chapters follow.

    Args:
        holder: The job that reads the video, where one finds its clock.
    Raises:
        LeaseLostError: Another worker has that job by now.
    """
    if (clock, timezone) == (video.clock, video.timezone):
        return video
    row = context.catalog.videos.set_clock(video.id, clock, timezone=timezone, holder=holder)
    save_sidecar(context, row)
    follow_chapters(context, row)
    return row


def follow_chapters(context: ServiceContext, video: VideoRow) -> None:
    """Let each chapter of a recording that has no clock of its own begin where the one before ends.

    What a user, the recorder or the file's name says of a chapter stays.
    """
    if chapter_of(video.file_name or "") is None:
        return
    videos = context.catalog.videos
    parts = chapters_of(video, videos.list())
    for part in sorted(parts):
        before = parts.get(part - 1)
        row = parts[part]
        if before is None or before.end_at is None:
            continue
        if row.start_source not in {None, "chapter"}:
            continue
        clock = StartClock(at=before.end_at, source="chapter", is_local=before.start_is_local)
        timezone = row.timezone or before.timezone
        if (clock, timezone) != (row.clock, row.timezone):
            parts[part] = videos.set_clock(row.id, clock, timezone=timezone)
            save_sidecar(context, parts[part])
