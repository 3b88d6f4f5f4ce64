"""Rules of alerts: written, changed, shown with how often they were right."""

from collections.abc import Mapping

from app.schemas.alerts import (
    AlertCondition,
    AlertPrecision,
    AlertRuleItem,
    AlertRulesResponse,
    CreateAlertRuleRequest,
    UpdateAlertRuleRequest,
)
from app.schemas.common import MessageResponse
from app.services.alert_conditions import (
    OBSERVED,
    check_condition,
    check_plain_name,
    describe_condition,
    is_about,
    read_condition,
)
from app.services.alert_reach import reach_s
from app.services.context import ServiceContext
from app.services.observations import missing_parts
from engine.pipeline.alerts.events import EventState
from engine.plural import counted
from engine.records import VideoId
from storage.alert_records import AlertCounts, AlertRuleRow, AlertWatchRow
from storage.records import CameraId, VideoRow

_OBSERVERS = {"object": "objects", "motion": "motion", "text": "text", "speech": "speech"}
"""The observer of each kind of row."""


def add_rule(context: ServiceContext, request: CreateAlertRuleRequest) -> AlertRuleItem:
    """Add a rule; it looks at what is seen from now on.

    Raises:
        InputRefusedError: It can never be satisfied, or its name is taken.
        NotFoundError: A video or a destination that is not there.
    """
    name, condition = check_plain_name(request.name), check_condition(context, request.condition)
    rule = context.catalog.alert_rules.add(
        name, condition.model_dump(mode="json"), is_enabled=request.enabled
    )
    _look_from_now(context, rule, condition)
    return show_rule(context, rule.name)


def change_rule(
    context: ServiceContext, name: str, request: UpdateAlertRuleRequest
) -> AlertRuleItem:
    """Change a rule; a new condition, or switching it on, holds for what is seen from now on.

    Raises:
        InputRefusedError: It could never be satisfied, or its new name is taken.
        NotFoundError: No such rule, video or destination.
    """
    rules = context.catalog.alert_rules
    before = rules.find(name)
    condition = read_condition(before)
    if request.condition is not None:
        condition = check_condition(context, request.condition)
    is_enabled = before.is_enabled if request.enabled is None else request.enabled
    rule = rules.change(
        name,
        new_name=name if request.name is None else check_plain_name(request.name),
        definition=condition.model_dump(mode="json"),
        is_enabled=is_enabled,
    )
    if rule.revision != before.revision or (is_enabled and not before.is_enabled):
        _look_from_now(context, rule, condition)
    return show_rule(context, rule.name)


def remove_rule(context: ServiceContext, name: str) -> MessageResponse:
    """Delete a rule; the alerts that it raised stay.

    Raises:
        NotFoundError: No such rule.
    """
    context.catalog.alert_rules.remove(name)
    return MessageResponse(message=f"the rule {name} is deleted; what it raised stays listed")


def list_rules(context: ServiceContext) -> AlertRulesResponse:
    """Return every rule, by name."""
    counts = context.catalog.alert_rules.counts()
    videos = context.catalog.videos.by_id()
    return AlertRulesResponse(
        rules=[
            _describe(context, rule, counts.get(rule.id, AlertCounts()), videos)
            for rule in context.catalog.alert_rules.list()
        ]
    )


def show_rule(context: ServiceContext, name: str) -> AlertRuleItem:
    """Return one rule.

    Raises:
        NotFoundError: No such rule.
    """
    rule = context.catalog.alert_rules.find(name)
    counts = context.catalog.alert_rules.counts().get(rule.id, AlertCounts())
    return _describe(context, rule, counts, context.catalog.videos.by_id())


def watched_videos(context: ServiceContext, condition: AlertCondition) -> tuple[VideoRow, ...]:
    """Return the videos that a condition is about, oldest first."""
    rows = [row for row in context.catalog.videos.list() if row.status != "removing"]
    return tuple(row for row in rows if is_about(condition, row, rows))


def enabled_rules(context: ServiceContext) -> tuple[tuple[AlertRuleRow, AlertCondition], ...]:
    """Return the rules that are switched on, with their conditions."""
    rules = context.catalog.alert_rules.list(enabled_only=True)
    return tuple((rule, read_condition(rule)) for rule in rules)


def notes_on(context: ServiceContext, condition: AlertCondition) -> list[str]:
    """Return what keeps a condition from seeing all that it is about."""
    notes = []
    observer = _OBSERVERS.get(OBSERVED.get(condition.kind, ""))
    if observer is not None and observer not in context.settings.sight.observers:
        notes.append(f"the setting sight.observers does not name {observer}: nothing will be seen")
    elif observer is not None and observer in (missing := missing_parts(context.settings)):
        notes.append(missing[observer])
    if condition.days or condition.hours:
        n_lost = sum(row.start_at is None for row in watched_videos(context, condition))
        if n_lost:
            verb = "has" if n_lost == 1 else "have"
            notes.append(
                f"{counted(n_lost, 'video')} {verb} no wall clock and so no hours: left out"
            )
    return notes


def _look_from_now(context: ServiceContext, rule: AlertRuleRow, condition: AlertCondition) -> None:
    """Begin behind what was observed already: a dry run tells about that."""
    for row in watched_videos(context, condition):
        until_s = reach_s(context, condition, row)
        state = EventState(until_s=until_s).as_json()
        watch = AlertWatchRow(until_s=until_s, state=state)
        context.catalog.alert_rules.set_watch(rule.id, row.id, watch)


def _describe(
    context: ServiceContext,
    rule: AlertRuleRow,
    counts: AlertCounts,
    videos: Mapping[VideoId, VideoRow],
) -> AlertRuleItem:
    condition = read_condition(rule)
    return AlertRuleItem(
        name=rule.name,
        enabled=rule.is_enabled,
        condition=condition,
        in_words=describe_condition(condition, _names(context, condition, videos)),
        revision=rule.revision,
        alerts=AlertPrecision(
            open=counts.open,
            acknowledged=counts.acknowledged,
            false_alarm=counts.false_alarm,
            dismissed=counts.dismissed,
            n=counts.n_decided,
            precision=counts.precision,
        ),
        notes=notes_on(context, condition),
        created_at=rule.created_at.isoformat(),
        updated_at=rule.updated_at.isoformat(),
    )


def _names(
    context: ServiceContext, condition: AlertCondition, videos: Mapping[VideoId, VideoRow]
) -> list[str]:
    cameras = {row.id: row.name for row in context.catalog.cameras.list()}
    rows = (videos.get(VideoId(identity)) for identity in condition.videos)
    return [
        *(cameras.get(CameraId(identity), "a camera that left") for identity in condition.cameras),
        *("a video that left" if row is None else row.name for row in rows),
    ]
