"""Rules at work: whatever the eyes have seen since is judged, and what it comes to is raised.

Called behind every step of an observer, of live and of recorded footage alike; a dry run goes the
same way and writes nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.progress import JobControl
from app.schemas.alerts import AlertCondition, TriedAlert, TryAlertRuleResponse
from app.schemas.common import describe_span
from app.services.alert_conditions import is_about, is_same_camera
from app.services.alert_events import (
    AlertVerdict,
    find_events,
    is_within_cooldown,
    judge,
    moment_at,
)
from app.services.alert_reach import reach_s
from app.services.alert_rules import enabled_rules, notes_on, watched_videos
from app.services.context import ServiceContext
from app.services.destinations import destinations_of
from app.services.pictures import kept_still
from app.services.scope import Bound, bounded_span
from engine.errors import LongwatchError, NotFoundError
from engine.pipeline.alerts.events import AlertEvent, EventState
from engine.records import TimeSpan
from storage.alert_records import AlertRow, AlertRuleRow, AlertWatchRow, NewAlert
from storage.records import VideoRow

PICTURE_PX: Final = (640, 320, 160)
"""Longest side of the still that is kept with an alert: the first that is there."""
_FIRST = AlertWatchRow(until_s=0.0, state={})

_log = logging.getLogger(__name__)


def watch_video(
    context: ServiceContext, video: VideoRow, control: JobControl | None = None
) -> tuple[AlertRow, ...]:
    """Judge what the eyes have seen of a video since, by every rule that is about it."""
    raised: list[AlertRow] = []
    rules = enabled_rules(context)
    if not rules:
        return ()
    videos = context.catalog.videos.list()
    row = context.catalog.videos.get(video.id)
    for rule, condition in rules:
        if control is not None and control.should_stop():
            break
        if is_about(condition, row, videos):
            raised += apply_rule(context, rule, condition, row, videos)
    return tuple(raised)


def apply_rule(
    context: ServiceContext,
    rule: AlertRuleRow,
    condition: AlertCondition,
    video: VideoRow,
    videos: Sequence[VideoRow],
    *,
    until_s: float | None = None,
) -> tuple[AlertRow, ...]:
    """Judge what was seen of one video since by one rule, and raise what it comes to.

    Args:
        videos: All that there are: a camera may be several of them.
        until_s: The end of the stretch; how far the eyes have looked when `None`.
    """
    watch = context.catalog.alert_rules.watch(rule.id, video.id) or _FIRST
    state = EventState.of_json(watch.until_s, watch.state)
    end_s = reach_s(context, condition, video) if until_s is None else until_s
    if end_s <= state.until_s:
        return ()
    folded = find_events(context, condition, video, state, end_s)
    pace = _Pace(condition)
    if folded.events:
        same = [row.id for row in videos if is_same_camera(row, video)]
        latest = context.catalog.alerts.latest(rule.id, same)
        if latest is not None:
            pace.before = (latest.at, latest.span.start_s)
    alerts = [
        _new_alert(context, video, event, verdict)
        for event, verdict in pace.passed(context, video, folded.events)
    ]
    raised = context.catalog.alerts.advance(
        rule,
        video.id,
        watch,
        AlertWatchRow(until_s=end_s, state=folded.state.as_json()),
        alerts,
        destinations=destinations_of(context, condition, video.id) if alerts else (),
        extended=folded.extended,
    )
    for alert in raised:
        _log.info("alert %d (%s): %s", alert.id, rule.name, alert.state)
    return raised


def try_rule(
    context: ServiceContext,
    name: str,
    condition: AlertCondition,
    *,
    after: Bound = None,
    before: Bound = None,
) -> TryAlertRuleResponse:
    """Return what a rule would have raised over recorded footage; nothing is written.

    Args:
        name: Of the rule, to be shown.
        condition: Of a rule that is kept, or of one that is not yet.
    Raises:
        NotFoundError: No footage lies within the bounds.
    """
    tried: list[TriedAlert] = []
    pace, searched_s, n_events = _Pace(condition), 0.0, 0
    spans = [
        (row, span)
        for row in watched_videos(context, condition)
        if (span := bounded_span(context, row, after, before)) is not None
    ]
    if not spans:
        raise NotFoundError(
            "no footage lies within these bounds",
            hint="`longwatch videos list` shows what there is",
        )
    labels = context.labels()
    for row, span in sorted(spans, key=_filmed_order):
        end_s = min(span.end_s, reach_s(context, condition, row))
        if end_s <= span.start_s:
            continue
        searched_s += end_s - span.start_s
        state = EventState(until_s=span.start_s)
        events = find_events(context, condition, row, state, end_s).events
        n_events += len(events)
        if row.start_at is None:
            # Without a clock nobody knows how soon behind another video it was filmed.
            pace.before = None
        for event, verdict in pace.passed(context, row, events):
            if verdict.is_dismissed:
                continue
            tried.append(
                TriedAlert(
                    **describe_span(row.id, event.span, labels).model_dump(),
                    peak_s=event.peak_s,
                    score=event.score,
                    reason=verdict.reason,
                    judged_by=verdict.judged_by,
                )
            )
    return TryAlertRuleResponse(
        rule=name,
        alerts=tried,
        events=n_events,
        within_cooldown=pace.n_too_soon,
        dismissed=pace.n_dismissed,
        searched_s=searched_s,
        notes=notes_on(context, condition),
    )


@dataclass(slots=True)
class _Pace:
    """The events of a rule that are judged: those that do not come too soon behind another."""

    condition: AlertCondition
    before: tuple[datetime | None, float] | None = None
    """The beginning of the alert before."""
    n_too_soon: int = 0
    n_dismissed: int = 0

    def passed(
        self, context: ServiceContext, video: VideoRow, events: Sequence[AlertEvent]
    ) -> list[tuple[AlertEvent, AlertVerdict]]:
        """Return events with their verdicts; what is dismissed holds back nothing."""
        passed = []
        for event in events:
            begun = (moment_at(video, event.span.start_s), event.span.start_s)
            if is_within_cooldown(self.condition, begun, self.before):
                self.n_too_soon += 1
                continue
            verdict = judge(context, self.condition, video, event)
            passed.append((event, verdict))
            if verdict.is_dismissed:
                self.n_dismissed += 1
            else:
                self.before = begun
        return passed


def _new_alert(
    context: ServiceContext, video: VideoRow, event: AlertEvent, verdict: AlertVerdict
) -> NewAlert:
    return NewAlert(
        video=video.id,
        span=event.span,
        peak_s=event.peak_s,
        at=moment_at(video, event.span.start_s),
        score=event.score,
        reason=verdict.reason,
        judged_by=verdict.judged_by,
        evidence=event.rows,
        is_dismissed=verdict.is_dismissed,
        picture=_picture(context, video, event.peak_s),
    )


def _picture(context: ServiceContext, video: VideoRow, time_s: float) -> bytes | None:
    """Return the still of a moment; none where none was kept: an alert waits for no decoder."""
    try:
        pictures = (kept_still(context, video, time_s, width_px) for width_px in PICTURE_PX)
        return next((picture for picture in pictures if picture is not None), None)
    except LongwatchError as error:
        _log.warning("an alert has no picture: %s", error)
        return None


def _filmed_order(place: tuple[VideoRow, TimeSpan]) -> tuple[bool, float, str]:
    row, span = place
    at = moment_at(row, span.start_s)
    return (at is None, 0.0 if at is None else at.timestamp(), row.name)
