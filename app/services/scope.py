"""Scopes: the stretches of videos that a question, a search or a probe may use."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from app.services.access import (
    FULL_ACCESS,
    Access,
    find_camera,
    find_video,
    visible_videos,
)
from app.services.context import ServiceContext, WholeLibrary
from app.services.hours import daily_spans, parse_hours
from app.services.recordings import in_filmed_order, in_recorded_order
from app.timefmt import to_utc
from engine.errors import NotFoundError
from engine.records import ALL_TIME, Scope, TimeSpan, VideoId
from storage.records import VideoRow

Bound = float | datetime | None
"""Seconds of media time, or a moment on the wall clock; open when `None`.

A moment without a zone is local time where each video was filmed."""


def resolve_scope(
    context: ServiceContext,
    videos: Sequence[str] = (),
    *,
    cameras: Sequence[str] = (),
    after: Bound = None,
    before: Bound = None,
    access: Access = FULL_ACCESS,
) -> Scope:
    """Return the stretches of video to look through.

    Args:
        videos: As `find_video` takes them; all visible videos when these and `cameras` are empty.
        cameras: As `find_camera` takes them: all that lies on the timeline of each.
        after: The earliest moment.
        before: The end, not included.
        access: Whose videos count.
    Raises:
        NotFoundError: A video that is not there, nothing is indexed, or nothing lies within the
            bounds.
    """
    library = context.catalog.videos.by_id()
    is_whole = not videos and not cameras and after is before is None and access.granted is None
    if is_whole and context.whole is not None and context.whole.rows is library:
        return context.whole.scope
    rows = [find_video(context, video, access) for video in videos]
    names = [row.name for row in rows] + list(cameras)
    rows += _filmed_by(context, cameras, access, besides=rows)
    is_named = bool(names)
    if not is_named:
        rows = list(visible_videos(context, access))
    # What was read and is damaged is asked about too: the answer says that it was left out.
    indexed = [
        row for row in in_recorded_order(rows) if row.n_chunks or row.is_damaged or is_heard(row)
    ]
    if not indexed:
        raise _nothing_indexed(names)
    spans = ((row.id, bounded_span(context, row, after, before)) for row in indexed)
    scope = tuple((video, span) for video, span in spans if span is not None)
    if not scope:
        raise NotFoundError(
            "no video reaches into these bounds",
            hint="`longwatch videos list` shows what there is; "
            "a bound on the wall clock needs a video whose start is known",
        )
    if is_whole and context.catalog.videos.by_id() is library:
        context.whole = WholeLibrary(rows=library, scope=scope)
    return scope


def narrowing(context: ServiceContext, scope: Scope) -> Scope | None:
    """Return a scope as the tables are asked by it: `None` where it takes all of every video."""
    whole = context.whole
    is_whole = whole is not None and scope is whole.scope and len(scope) == len(whole.rows)
    return None if is_whole else scope


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


def bounded_span(
    context: ServiceContext, row: VideoRow, after: Bound, before: Bound
) -> TimeSpan | None:
    """Return the stretch of a video between two bounds; `None` where nothing of it lies there."""
    return _bounded(row, after, before, context.settings.media.zone(row.timezone))


def keep_hours(context: ServiceContext, scope: Scope, hours: str) -> Scope:
    """Return the parts of a scope that lie within certain hours of each day.

    Args:
        hours: `22:00-06:00`, in local time where each video was filmed; the same hour twice is the
            whole day.
    Raises:
        InputRefusedError: These are no hours of a day.
        NotFoundError: Nothing lies within them, or no video has a wall clock.
    """
    hours_of_day = parse_hours(hours)
    media = context.settings.media
    rows = context.catalog.videos.by_id()
    parts = tuple(
        (video, part)
        for video, span in scope
        if video in rows
        for part in daily_spans(
            rows[video],
            TimeSpan(
                start_s=span.start_s,
                end_s=max(span.start_s, min(span.end_s, rows[video].ingested_s)),
            ),
            hours_of_day,
            media.zone(rows[video].timezone),
        )
    )
    if not parts:
        raise NotFoundError(
            f"no video reaches into {hours}",
            hint="only videos with a wall clock have a time of day",
        )
    return parts


def _filmed_by(
    context: ServiceContext, cameras: Sequence[str], access: Access, *, besides: Sequence[VideoRow]
) -> list[VideoRow]:
    """Return what some cameras have filmed, in the order of the wall clock."""
    if not cameras:
        return []
    wanted = {find_camera(context, camera, access).id for camera in cameras}
    known = {row.id for row in besides}
    rows = (row for row in visible_videos(context, access) if row.camera in wanted)
    return [row for row in in_filmed_order(rows) if row.id not in known]


def _nothing_indexed(named: Sequence[str]) -> NotFoundError:
    names = ", ".join(named)
    return NotFoundError(
        f"nothing of {names} is indexed yet" if named else "nothing is indexed yet",
        hint="`longwatch ingest VIDEO` or the library page adds videos; "
        "the first chunks can be asked about at once",
    )


def is_heard(row: VideoRow) -> bool:
    """Return whether a file holds sound alone and was read: it has no chunks, but speech."""
    return row.status == "ready" and row.media is not None and not row.media.has_picture


def known_s(row: VideoRow) -> float:
    """Return how far something is known of a video: to its end where it is sound alone."""
    return (row.duration_s or 0.0) if is_heard(row) else row.ingested_s


def _bounded(row: VideoRow, after: Bound, before: Bound, zone: tzinfo | None) -> TimeSpan | None:
    start_s = _media_time(row, after, 0.0, zone)
    end_s = _media_time(row, before, ALL_TIME.end_s, zone)
    if start_s is None or end_s is None:
        return None
    start_s = max(0.0, start_s)
    reaches_in = start_s < end_s and start_s < max(known_s(row), 1e-9)
    if reaches_in and after is before is None:
        return ALL_TIME
    return TimeSpan(start_s=start_s, end_s=end_s) if reaches_in else None


def _media_time(
    row: VideoRow, bound: Bound, unbounded_s: float, zone: tzinfo | None
) -> float | None:
    """Return a bound on a video's own clock; `None` where it needs an unknown wall clock."""
    if bound is None:
        return unbounded_s
    if not isinstance(bound, datetime):
        return float(bound)
    if row.start_at is None:
        return None
    return (to_utc(bound, zone) - row.start_at).total_seconds()
