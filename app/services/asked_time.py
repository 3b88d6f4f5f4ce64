"""The stretches of footage that a question names by the time: a day, hours of it, or an offset."""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from app.services.context import ServiceContext
from app.services.scope import bounded_span, keep_hours, known_s
from engine.errors import NotFoundError
from engine.pipeline.compose.sentences import clock
from engine.pipeline.query import Query
from engine.pipeline.question_days import Stretch, find_day
from engine.pipeline.question_times import Edge, FootagePart
from engine.records import Scope, TimeSpan
from storage.records import VideoRow

_NO_CLOCK = "No wall clock is known of this footage; left aside: {}."


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTime:
    """A question with the footage that it is about."""

    query: Query
    """Its form names hours or an offset, and no longer both."""
    scope: Scope
    """Empty where nothing is known of the time that was asked for."""
    note: str = ""
    """What the answer has to say of it first."""


def narrow(context: ServiceContext, query: Query, scope: Scope) -> AskedTime:
    """Return the part of a scope that a question names by a day, hours of the day or an offset.

    "At 16:58" is an offset where a video is that long, and else a time of the day.
    """
    if not query.form.day:
        return _narrow(context, query, scope)
    on_day = _keep_day(context, query, scope)
    if not on_day.scope:
        return on_day
    narrowed = _narrow(context, query, on_day.scope)
    return replace(narrowed, note=f"{on_day.note} {narrowed.note}".strip())


def local_now(zone: tzinfo | None) -> datetime:
    """Return the time on a clock of a zone, without it; `None` is this machine's."""
    return datetime.now(zone).replace(tzinfo=None)


def _keep_day(context: ServiceContext, query: Query, scope: Scope) -> AskedTime:
    """Return the part of a scope on the day that a question names, where each was filmed."""
    words, media = query.form.day, context.settings.media
    asker_day = find_day(words, local_now(media.zone(None)))
    if asker_day is None:
        note = f"There is no such day: \u201c{words}\u201d."
        return AskedTime(query=query, scope=(), note=note)
    rows = context.catalog.videos.by_id()
    if not any(row.start_at is not None for row in _rows(context, scope)):
        return AskedTime(query=query, scope=scope, note=_NO_CLOCK.format(f"\u201c{words}\u201d"))
    within = []
    for video, span in scope:
        row = rows.get(video)
        if row is None:
            continue
        day = find_day(words, local_now(media.zone(row.timezone))) or asker_day
        part = bounded_span(context, row, *day)
        if part is not None and part.overlap_s(span) > 0:
            bounds = max(part.start_s, span.start_s), min(part.end_s, span.end_s)
            within.append((video, TimeSpan(start_s=bounds[0], end_s=bounds[1])))
    note = "" if within else f"Nothing is known of \u201c{words}\u201d, {_dates(asker_day)}."
    return AskedTime(query=query, scope=tuple(within), note=note)


def _dates(day: Stretch) -> str:
    """Return a stretch of the local clock in figures, whole days as dates."""
    first, end = day
    if first.time() == end.time() == first.min.time():
        last = end.fromordinal(end.toordinal() - 1)
        return f"{first:%Y-%m-%d}" if last == first else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return f"{first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def _narrow(context: ServiceContext, query: Query, scope: Scope) -> AskedTime:
    form = query.form
    as_offset = replace(query, form=replace(form, between=None))
    if form.at is not None and _begin_s(form.at) < _ends_s(context, scope):
        return AskedTime(query=as_offset, scope=scope)
    if form.between is None:
        is_beyond = form.at is not None
        return _beyond(context, query, scope) if is_beyond else AskedTime(query=query, scope=scope)
    first, last = form.between
    has_clock = any(row.start_at is not None for row in _rows(context, scope))
    try:
        within = keep_hours(context, scope, f"{first}-{last}")
    except NotFoundError:
        if form.at is not None:
            return _beyond(context, as_offset, scope)
        if not has_clock:
            return AskedTime(query=query, scope=scope, note=_NO_CLOCK.format("hours of the day"))
        note = f"Nothing is known of the time between {first} and {last}."
        return AskedTime(query=query, scope=(), note=note)
    return AskedTime(query=replace(query, form=replace(form, at=None)), scope=within)


def _beyond(context: ServiceContext, query: Query, scope: Scope) -> AskedTime:
    """Return the sentence for a time behind the end: it may be filmed, and not be read yet."""
    note = "Nothing is known of that time: what was asked about is known to "
    return AskedTime(query=query, scope=(), note=f"{note}{clock(_ends_s(context, scope))}.")


def _begin_s(at: Edge | FootagePart | float) -> float:
    if isinstance(at, float):
        return at
    # "Before 16:58" names its end alone; an end of the footage is always there.
    is_offset = isinstance(at, FootagePart) and at.unit == "s"
    return (at.start or at.end) if isinstance(at, FootagePart) and is_offset else 0.0


def _ends_s(context: ServiceContext, scope: Scope) -> float:
    rows = context.catalog.videos.by_id()
    ends = [min(span.end_s, known_s(rows[video])) for video, span in scope if video in rows]
    return max(ends, default=0.0)


def _rows(context: ServiceContext, scope: Scope) -> list[VideoRow]:
    rows = context.catalog.videos.by_id()
    return [rows[video] for video, _ in scope if video in rows]
