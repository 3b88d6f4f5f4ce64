"""Scopes: the stretches of videos that a question, a search or a probe may use."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

from app.services.access import FULL_ACCESS, Access, find_video, visible_videos
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NotFoundError
from engine.records import ALL_TIME, Scope, TimeSpan, VideoId
from storage.records import VideoRow

Bound = float | datetime | None
"""Seconds of media time, or a moment on the wall clock; open when `None`."""

_HOURS = re.compile(r"\d\d:\d\d-\d\d:\d\d", re.ASCII)


def resolve_scope(
    context: ServiceContext,
    videos: Sequence[str] = (),
    *,
    after: Bound = None,
    before: Bound = None,
    access: Access = FULL_ACCESS,
) -> Scope:
    """Return the stretches of video to look through.

    Args:
        videos: As `find_video` takes them; all visible videos when empty.
        after: The earliest moment.
        before: The end, not included.
        access: Whose videos count.
    Raises:
        NotFoundError: A video that is not there, nothing is indexed, or nothing lies within the
            bounds.
    """
    rows = [find_video(context, video, access) for video in videos]
    if not videos:
        rows = list(visible_videos(context, access))
    indexed = [row for row in rows if row.n_chunks]
    if not indexed:
        raise _nothing_indexed(rows if videos else ())
    spans = ((row.id, _bounded(row, after, before)) for row in indexed)
    scope = tuple((video, span) for video, span in spans if span is not None)
    if not scope:
        raise NotFoundError(
            "no video reaches into these bounds",
            hint="`longwatch videos list` shows what there is; "
            "a bound on the wall clock needs a video whose start is known",
        )
    return scope


def resolve_span(
    context: ServiceContext,
    video: str,
    *,
    start_s: float | None,
    end_s: float | None,
    access: Access = FULL_ACCESS,
) -> tuple[VideoId, TimeSpan]:
    """Return one stretch of one video, as a `video://ID#t=start,end` address names it.

    Raises:
        NotFoundError: No such video, or nothing of it is indexed within these seconds.
    """
    ((video_id, span),) = resolve_scope(
        context, [video], after=start_s, before=end_s, access=access
    )
    return video_id, span


def keep_hours(context: ServiceContext, scope: Scope, hours: str) -> Scope:
    """Return the parts of a scope that lie within certain hours of each day.

    Args:
        hours: `22:00-06:00`, in UTC; the same hour twice is the whole day.
    Raises:
        InputRefusedError: These are no hours of a day.
        NotFoundError: Nothing lies within them, or no video has a wall clock.
    """
    opens, closes = _parse_hours(hours)
    parts = tuple(
        (video, part)
        for video, span in scope
        for part in _daily(context.catalog.videos.get(video), span, opens, closes)
    )
    if not parts:
        raise NotFoundError(
            f"no video reaches into {hours}",
            hint="only videos with a wall clock have a time of day",
        )
    return parts


def _nothing_indexed(named: Sequence[VideoRow]) -> NotFoundError:
    names = ", ".join(row.name for row in named)
    return NotFoundError(
        f"nothing of {names} is indexed yet" if named else "nothing is indexed yet",
        hint="`longwatch ingest VIDEO` or the library page adds videos; "
        "the first chunks can be asked about at once",
    )


def _bounded(row: VideoRow, after: Bound, before: Bound) -> TimeSpan | None:
    start_s = _media_time(row, after, 0.0)
    end_s = _media_time(row, before, ALL_TIME.end_s)
    if start_s is None or end_s is None:
        return None
    start_s = max(0.0, start_s)
    reaches_in = start_s < end_s and start_s < max(row.ingested_s, 1e-9)
    return TimeSpan(start_s=start_s, end_s=end_s) if reaches_in else None


def _media_time(row: VideoRow, bound: Bound, unbounded_s: float) -> float | None:
    """Return a bound on a video's own clock; `None` where it needs an unknown wall clock."""
    if bound is None:
        return unbounded_s
    if not isinstance(bound, datetime):
        return float(bound)
    if row.start_at is None:
        return None
    return (bound - row.start_at).total_seconds()


def _parse_hours(hours: str) -> tuple[time, time]:
    try:
        if not _HOURS.fullmatch(hours):
            raise ValueError("not two times with a dash between them")
        opens, closes = (time.fromisoformat(text) for text in hours.split("-"))
    except ValueError as error:
        raise InputRefusedError(
            f"{hours!r} are no hours of a day", hint="write them as 22:00-06:00, in UTC"
        ) from error
    return opens, closes


def _daily(row: VideoRow, span: TimeSpan, opens: time, closes: time) -> Iterator[TimeSpan]:
    """Yield the stretches of a video between two hours (UTC) of each day, in order."""
    if row.start_at is None:
        return
    length = (
        datetime.combine(datetime.min, closes) - datetime.combine(datetime.min, opens)
    ) % timedelta(days=1) or timedelta(days=1)
    end_s = min(span.end_s, row.ingested_s)
    begin = row.start_at.astimezone(UTC)
    # The day before too: its night may reach past midnight into the video.
    day = (begin + timedelta(seconds=span.start_s)).date() - timedelta(days=1)
    while True:
        start_s = (datetime.combine(day, opens, tzinfo=UTC) - begin).total_seconds()
        if start_s >= end_s:
            return
        part = (max(span.start_s, start_s), min(end_s, start_s + length.total_seconds()))
        if part[0] < part[1]:
            yield TimeSpan(start_s=part[0], end_s=part[1])
        day += timedelta(days=1)
