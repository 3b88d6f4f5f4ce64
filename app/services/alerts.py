"""Alerts as people see them: listed, shown, answered, and rules tried before they are switched on.

Decision: whoever may see a video may answer its alerts: a guard at the gate is no administrator.
Who did is written down.
"""

from typing import Final

from app.schemas.alerts import (
    AlertCondition,
    AlertItem,
    AlertsResponse,
    DecidedState,
    TryAlertRuleResponse,
)
from app.schemas.ask import describe_row
from app.schemas.common import VideoLabels, describe_span
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.alert_conditions import check_condition, read_condition
from app.services.alert_watch import try_rule
from app.services.context import ServiceContext
from app.services.scope import Bound
from engine.errors import InputRefusedError, NotFoundError
from storage.alert_records import AlertId, AlertRow, AlertState

MAX_LISTED: Final = 200
STATES: Final[tuple[AlertState, ...]] = ("open", "acknowledged", "false_alarm", "dismissed")


def list_alerts(
    context: ServiceContext,
    access: Access = FULL_ACCESS,
    *,
    states: tuple[str, ...] = (),
    rule: str | None = None,
    video: str | None = None,
    before: int | None = None,
    limit: int = MAX_LISTED,
) -> AlertsResponse:
    """Return the alerts of videos that someone may see, the latest first.

    Args:
        states: Only these; all that were not dismissed when empty.
        rule: Only those of a rule, by its name as it is now or was then.
        before: Only those that were raised before this one.
    Raises:
        NotFoundError: No such video.
        InputRefusedError: A state that there is not.
    """
    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise InputRefusedError(
            f"alerts are never {unknown[0]!r}", hint=f"they are {', '.join(STATES)}"
        )
    wanted = [state for state in STATES if state in (states or STATES[:3])]
    videos = [] if video is None else [find_video(context, video, access).id]
    rows = context.catalog.alerts.list(
        among=access.granted,
        states=wanted,
        videos=videos,
        rule_name=rule,
        before=None if before is None else AlertId(before),
        limit=limit,
    )
    labels = context.labels()
    return AlertsResponse(
        alerts=[describe_alert(context, row, labels) for row in rows],
        open=count_open(context, access),
    )


def count_open(context: ServiceContext, access: Access = FULL_ACCESS) -> int:
    """Return how many alerts of videos that someone may see nobody has answered."""
    return context.catalog.alerts.count(among=access.granted, states=["open"])


def show_alert(context: ServiceContext, alert: int, access: Access = FULL_ACCESS) -> AlertItem:
    """Return one alert; to those who may not see its video there is none.

    Raises:
        NotFoundError: No such alert.
    """
    return describe_alert(context, find_alert(context, alert, access), context.labels())


def alert_picture(context: ServiceContext, alert: int, access: Access = FULL_ACCESS) -> bytes:
    """Return the still that was kept with an alert, as JPEG.

    Raises:
        NotFoundError: No such alert, or none was kept.
    """
    picture = context.catalog.alerts.picture(find_alert(context, alert, access).id)
    if picture is None:
        raise NotFoundError(f"alert {alert} has no picture", hint="no still of it was kept")
    return picture


def decide_alert(
    context: ServiceContext, alert: int, state: DecidedState, by: str, access: Access = FULL_ACCESS
) -> AlertItem:
    """Write down that an alert was right, or false; the last word holds, and counts.

    Args:
        by: Who says so.
    Raises:
        NotFoundError: No such alert.
        InputRefusedError: It was dismissed: nobody was alarmed by it.
    """
    row = find_alert(context, alert, access)
    if row.state == "dismissed":
        raise InputRefusedError(f"alert {alert} was dismissed when it was judged, and never sent")
    decided = context.catalog.alerts.decide(row.id, state, by)
    return describe_alert(context, decided, context.labels())


def try_alert_rule(
    context: ServiceContext,
    rule: str | None = None,
    *,
    condition: AlertCondition | None = None,
    after: Bound = None,
    before: Bound = None,
) -> TryAlertRuleResponse:
    """Return what a rule would have raised over recorded footage; nothing is raised or sent.

    Args:
        rule: One that is kept, switched on or not.
        condition: Of one that is not kept yet.
    Raises:
        NotFoundError: No such rule, or no footage within the bounds.
        InputRefusedError: The condition can never be satisfied.
    """
    if condition is None:
        row = context.catalog.alert_rules.find(rule or "")
        return try_rule(context, row.name, read_condition(row), after=after, before=before)
    checked = check_condition(context, condition)
    return try_rule(context, rule or "", checked, after=after, before=before)


def find_alert(context: ServiceContext, alert: int, access: Access) -> AlertRow:
    """Return an alert that someone may see.

    Raises:
        NotFoundError: No such alert, or it is of a video that was not granted.
    """
    row = context.catalog.alerts.get(AlertId(alert))
    if not access.may_see(row.video):
        raise NotFoundError(f"no alert {alert}")
    return row


def describe_alert(context: ServiceContext, row: AlertRow, labels: VideoLabels) -> AlertItem:
    """Return an alert as its document."""
    video = context.catalog.videos.by_id().get(row.video)
    camera = None if video is None else video.camera
    return AlertItem(
        **describe_span(row.video, row.span, labels).model_dump(),
        alert_id=row.id,
        camera_id=camera,
        camera=None if camera is None else context.catalog.cameras.get(camera).name,
        rule=row.rule,
        revision=row.revision,
        state=row.state,
        peak_s=row.peak_s,
        score=row.score,
        reason=row.reason,
        judged_by=row.judged_by,
        evidence=[describe_row(kept) for kept in row.evidence],
        has_picture=row.has_picture,
        raised_at=row.raised_at.isoformat(),
        decided_at=None if row.decided_at is None else row.decided_at.isoformat(),
        decided_by=row.decided_by,
    )
