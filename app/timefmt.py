"""Times as people write them: `H:MM:SS.mmm`, offsets, ISO 8601 with a zone."""

import contextlib
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.plural import counted
from engine.records import moment_after

_OFFSET = re.compile(r"^(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?$")
_ZONE_OFFSET = re.compile(r"(?:UTC)?([+-])(\d{1,2}):?([0-5]\d)?", re.ASCII)
_UNITS = re.compile(r"^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?$")


def format_offset(time_s: float) -> str:
    """Return a media time (s) as `H:MM:SS.mmm`."""
    total_ms = round(time_s * 1000)
    seconds, milliseconds = divmod(total_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}.{milliseconds:03d}"


def format_clock(time_s: float) -> str:
    """Return a media time (s) as people read it, `M:SS` or `H:MM:SS`."""
    minutes, seconds = divmod(max(0, int(time_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def format_duration(duration_s: float) -> str:
    """Return a length in words, such as `3.2 hours`, `12 minutes`, `8 seconds`."""
    for unit_s, word in ((3600, "hour"), (60, "minute")):
        if duration_s >= unit_s:
            return counted(duration_s / unit_s, word)
    return counted(duration_s, "second")


def parse_time(text: str) -> float | datetime:
    """Parse a bound: seconds from the start of the video, or a moment on the wall clock.

    Args:
        text: `95`, `1:35`, `1:02:03.5`, `90m`, `1h30m`, or ISO 8601 (`2026-03-01T22:00`;
            one without a zone stays so, and means the local time of each video).
    Raises:
        ValueError: Neither; the message lists what is understood.
    """
    stripped = text.strip()
    if match := _OFFSET.match(stripped):
        hours, minutes, seconds = match.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if stripped and (match := _UNITS.match(stripped)):
        hours, minutes, seconds = match.groups(default="0")
        return float(hours) * 3600 + float(minutes) * 60 + float(seconds)
    return parse_moment(stripped)


def parse_moment(text: str) -> datetime:
    """Parse ISO 8601: with a zone as UTC, without one as the digits of a local clock.

    Raises:
        ValueError: Not a date and time.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no time: use seconds, H:MM:SS, 1h30m, or ISO 8601 like 2026-03-01T22:00"
        ) from error


def parse_zone(name: str) -> tzinfo:
    """Return a time zone.

    Args:
        name: Of the IANA database, as `Europe/Berlin`, or an offset such as `+05:30`.
    Raises:
        ValueError: There is no such zone.
    """
    if match := _ZONE_OFFSET.fullmatch(name.strip()):
        sign, hours, minutes = match.groups(default="0")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset <= timedelta(hours=14):
            return timezone(-offset if sign == "-" else offset)
    try:
        return ZoneInfo(name.strip())
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError(
            f"{name!r} is no time zone: use a name such as Europe/Berlin, or an offset like +05:30"
        ) from error


def to_utc(moment: datetime, zone: tzinfo | None) -> datetime:
    """Return a moment in UTC.

    Args:
        zone: Of the digits, where the moment says none; this machine's when `None`.
    """
    try:
        if moment.tzinfo is None and zone is not None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        # At the edge of the calendar a zone leads out of it; no video was filmed there.
        return moment.replace(tzinfo=UTC)


def wall_clock(start_at: datetime | None, time_s: float, zone: tzinfo | None = UTC) -> str | None:
    """Return the ISO 8601 moment of a media time, where the video has a wall clock.

    Args:
        zone: Whose local time it is written in; this machine's when `None`.
    """
    if start_at is None:
        return None
    return local_moment(start_at, time_s, zone).isoformat(timespec="milliseconds")


def local_moment(start_at: datetime, time_s: float, zone: tzinfo | None) -> datetime:
    """Return the moment so much later in local time; at the edges of the calendar, as it is.

    Args:
        zone: Whose local time; this machine's when `None`.
    """
    moment = moment_after(start_at, time_s)
    with contextlib.suppress(OverflowError):
        return moment.astimezone(zone)
    return moment


def clock_text(iso: str) -> str:
    """Return an ISO 8601 moment as people read it: `2026-03-01 22:00:05`, in its own zone."""
    return iso[:19].replace("T", " ")
