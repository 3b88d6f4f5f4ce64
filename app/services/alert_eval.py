"""Rules against truth: how often they are right, what they miss, and how often they repeat.

Every phrase of a set of searches that names a thing becomes a rule at night, tried over every
recording as if it had been filmed then: the way that live footage goes too.
"""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.alerts import AlertCondition, TriedAlert
from app.schemas.footage import AlertsMeasureResponse, RuleMeasureItem
from app.services.alert_conditions import is_one_thing
from app.services.alert_watch import try_rule
from app.services.context import ServiceContext
from app.services.footage_eval import Library, share_item
from app.services.wall_clock import ClockChange, change_clock
from engine.errors import InputRefusedError
from engine.evaluation.footage import FootageSearch
from engine.records import ALL_TIME, TimeSpan, VideoId

NIGHT: Final = datetime(2026, 1, 15, 23, tzinfo=UTC)
NIGHT_HOURS: Final = "22:00-06:00"
DAY_HOURS: Final = "08:00-20:00"
SLACK_S: Final = 1.0
"""Frames are a second apart."""


def measure_alerts(
    context: ServiceContext,
    searches: Sequence[FootageSearch],
    library: Library,
    *,
    report: ProgressCallback = no_progress,
) -> AlertsMeasureResponse:
    """Try a rule for every phrase that names a thing, and compare what it would raise with truth.

    Args:
        searches: With where they are true; what is not listed of a recording is not true of it.
        library: Every recording that counts; its clock is set to a night.
    Raises:
        InputRefusedError: No phrase names a thing.
    """
    things = [search for search in searches if is_one_thing(search.query)]
    if not things:
        raise InputRefusedError("no phrase names a thing that is recognised here")
    for video in library.values():
        row = context.catalog.videos.get(VideoId(video))
        change_clock(context, row, ClockChange(start_at=NIGHT, timezone="UTC"))
    items, delays_s = [], list[float]()
    for n_done, search in enumerate(things):
        report(ProgressUpdate(what="rules", done=n_done, total=len(things), note=search.query))
        items.append(_measure(context, search, library, delays_s))
    n_alerts, n_events = sum(item.alerts for item in items), sum(item.events for item in items)
    return AlertsMeasureResponse(
        recordings=len(library),
        rules=items,
        precision=share_item(sum(item.right for item in items), n_alerts),
        recall=share_item(sum(item.caught for item in items), n_events),
        repeats=sum(item.repeats for item in items),
        by_day=sum(item.by_day for item in items),
        delay_s=statistics.median(delays_s) if delays_s else None,
    )


def _measure(
    context: ServiceContext, search: FootageSearch, library: Library, delays_s: list[float]
) -> RuleMeasureItem:
    by_video = {
        library[path]: spans or (ALL_TIME,)
        for path, spans in search.truth.items()
        if path in library
    }
    alerts = _tried(context, search.query, NIGHT_HOURS, library)
    n_right = sum(bool(_hits(alert, by_video.get(alert.video_id, ()))) for alert in alerts)
    n_found = n_repeats = 0
    for video, spans in by_video.items():
        for span in spans:
            hits = [alert for alert in alerts if alert.video_id == video and _hits(alert, (span,))]
            n_found += bool(hits)
            n_repeats += max(0, len(hits) - 1)
            if hits:
                delays_s.append(max(0.0, hits[0].start_s - span.start_s))
    return RuleMeasureItem(
        words=search.query,
        alerts=len(alerts),
        right=n_right,
        events=sum(map(len, by_video.values())),
        caught=n_found,
        repeats=n_repeats,
        by_day=len(_tried(context, search.query, DAY_HOURS, library)),
    )


def _tried(context: ServiceContext, words: str, hours: str, library: Library) -> list[TriedAlert]:
    condition = AlertCondition(
        kind="object", words=words, hours=hours, cooldown_s=0, videos=[*library.values()]
    )
    return try_rule(context, words, condition).alerts


def _hits(alert: TriedAlert, spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Return the true spans that an alert begins in, give or take a second."""
    return [
        span for span in spans if span.start_s - SLACK_S <= alert.start_s < span.end_s + SLACK_S
    ]
