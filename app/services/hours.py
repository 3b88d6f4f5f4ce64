"""Hours of the day and days of the week, in local time where a video was filmed."""

import re
from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta, tzinfo

from app.timefmt import local_moment, to_utc
from engine.errors import InputRefusedError
from engine.records import TimeSpan
from storage.records import VideoRow

DayHours = tuple[time, time]
"""When it begins and ends; the same hour twice is the whole day."""

ALL_DAYS = frozenset(range(7))
"""Monday is 0."""
WHOLE_DAY: DayHours = (time(), time())
_HOURS = re.compile(r"\d\d:\d\d-\d\d:\d\d", re.ASCII)


def parse_hours(hours: str) -> DayHours:
    """Return the hours that a text such as `22:00-06:00` names.

    Raises:
        InputRefusedError: These are no hours of a day.
    """
    try:
        if not _HOURS.fullmatch(hours):
            raise ValueError("not two times with a dash between them")
        opens, closes = (time.fromisoformat(text) for text in hours.split("-"))
    except ValueError as error:
        raise InputRefusedError(
            f"{hours!r} are no hours of a day", hint="write them as 22:00-06:00, in local time"
        ) from error
    return opens, closes


def daily_spans(
    row: VideoRow,
    span: TimeSpan,
    hours: DayHours,
    zone: tzinfo | None,
    *,
    days: Collection[int] = ALL_DAYS,
) -> Iterator[TimeSpan]:
    """Yield the stretches of a video between two local hours of each day, in order.

    Nothing of a video without a wall clock.

    Args:
        span: Where to look, with an end.
        days: Those on which the hours begin, Monday is 0: a night belongs to its evening.
    """
    if row.start_at is None:
        return
    opens, closes = hours
    overnight = timedelta(days=1 if closes <= opens else 0)
    # The day before too: its night may reach past midnight into the video.
    day = local_moment(row.start_at, span.start_s, zone).date() - timedelta(days=1)
    while True:
        # Each on its own: a night in which clocks are changed is not a day long.
        start_s = (to_utc(datetime.combine(day, opens), zone) - row.start_at).total_seconds()
        if start_s >= span.end_s or day + overnight == date.max:
            return
        closes_at = to_utc(datetime.combine(day + overnight, closes), zone)
        part = (
            max(span.start_s, start_s),
            min(span.end_s, (closes_at - row.start_at).total_seconds()),
        )
        if part[0] < part[1] and day.weekday() in days:
            yield TimeSpan(start_s=part[0], end_s=part[1])
        day += timedelta(days=1)
