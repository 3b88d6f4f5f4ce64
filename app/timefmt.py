"""Times as people write them: `H:MM:SS.mmm`, offsets, ISO 8601 with a zone."""

import re
from datetime import UTC, datetime, timedelta

_OFFSET = re.compile(r"^(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?$")
_UNITS = re.compile(r"^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?$")


def format_offset(time_s: float) -> str:
    """Return a media time (s) as `H:MM:SS.mmm`."""
    total_ms = round(time_s * 1000)
    seconds, milliseconds = divmod(total_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}.{milliseconds:03d}"


def format_duration(duration_s: float) -> str:
    """Return a length in words, such as `3.2 hours`, `12 minutes`, `8 seconds`."""
    for unit_s, word in ((3600, "hour"), (60, "minute")):
        if duration_s >= unit_s:
            return _counted(duration_s / unit_s, word)
    return _counted(duration_s, "second")


def parse_time(text: str) -> float | datetime:
    """Parse a bound: seconds from the start of the video, or a moment on the wall clock.

    Args:
        text: `95`, `1:35`, `1:02:03.5`, `90m`, `1h30m`, or ISO 8601 (`2026-03-01T22:00`;
            without a zone it means this machine's).
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
    """Parse ISO 8601 as an aware UTC datetime; without a zone it means this machine's.

    Raises:
        ValueError: Not a date and time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no time: use seconds, H:MM:SS, 1h30m, or ISO 8601 like 2026-03-01T22:00"
        ) from error
    return moment.astimezone(UTC)


def wall_clock(start_at: datetime | None, time_s: float) -> str | None:
    """Return the ISO 8601 moment of a media time, where the video has a wall clock."""
    if start_at is None:
        return None
    return (start_at + timedelta(seconds=time_s)).isoformat(timespec="milliseconds")


def _counted(amount: float, word: str) -> str:
    text = f"{amount:.1f}".removesuffix(".0")
    return f"{text} {word}{'' if text == '1' else 's'}"
