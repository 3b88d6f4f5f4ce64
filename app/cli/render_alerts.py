"""Alerts, rules and destinations as tables: registered with `render` when a command shows them."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.alerts import (
    AlertItem,
    AlertPrecision,
    AlertRuleItem,
    AlertRulesResponse,
    AlertsResponse,
    TryAlertRuleResponse,
)
from app.schemas.common import VideoSpan
from app.schemas.destinations import (
    DeliveriesResponse,
    DeliveryItem,
    DestinationItem,
    DestinationsResponse,
)
from app.timefmt import clock_text, format_duration
from engine.plural import counted

_STATES = {"false_alarm": "false alarm"}


@render.register
def _(document: AlertsResponse) -> RenderableType:
    table = plain_table("alert", "state", "rule", "video", "when", "found", "score")
    for alert in document.alerts:
        table.add_row(
            str(alert.alert_id),
            _STATES.get(alert.state, alert.state),
            Text(printable(alert.rule)),
            Text(printable(alert.camera or alert.video)),
            _when(alert),
            Text(printable(alert.reason)),
            f"{alert.score:.2f}",
        )
    return Group(table, Text(f"{counted(document.open, 'alert')} nobody has answered", "dim"))


@render.register
def _(alert: AlertItem) -> RenderableType:
    lines = [
        f"{alert.rule}: {alert.reason}",
        f"{alert.camera or alert.video}, {_when(alert)}, {alert.start} to {alert.end}",
        f"score {alert.score:.2f}, judged by {alert.judged_by}, "
        f"{'with' if alert.has_picture else 'without'} a picture, raised {alert.raised_at}",
    ]
    if alert.decided_by is not None:
        lines.append(f"{_STATES.get(alert.state, alert.state)} by {alert.decided_by}")
    table = plain_table("kind", "found", "from", "to", "confidence", "model")
    for row in alert.evidence:
        table.add_row(
            row.kind,
            Text(printable(row.text or row.label)),
            f"{row.start_s:.1f} s",
            f"{row.end_s:.1f} s",
            f"{row.confidence:.2f}",
            row.model,
        )
    texts = [Text(printable(line)) for line in lines]
    return Group(*texts, *([table] if alert.evidence else []))


@render.register
def _(document: AlertRulesResponse) -> RenderableType:
    table = plain_table("name", "on", "what", "precision", "open")
    for rule in document.rules:
        table.add_row(
            Text(printable(rule.name)),
            "yes" if rule.enabled else "no",
            Text(printable(rule.in_words)),
            precision_text(rule.alerts),
            str(rule.alerts.open),
        )
    return table


@render.register
def _(rule: AlertRuleItem) -> RenderableType:
    lines = [
        f"{rule.name} ({'on' if rule.enabled else 'off'}, revision {rule.revision})",
        rule.in_words,
        f"sent to {', '.join(rule.condition.destinations) or 'nobody: listed here'}",
        f"precision {precision_text(rule.alerts)}; {rule.alerts.open} open, "
        f"{rule.alerts.dismissed} dismissed when judged",
        *rule.notes,
    ]
    return Group(*(Text(printable(line)) for line in lines))


@render.register
def _(document: TryAlertRuleResponse) -> RenderableType:
    table = plain_table("video", "when", "found", "score", "judged by")
    for alert in document.alerts:
        table.add_row(
            Text(printable(alert.video)),
            _when(alert),
            Text(printable(alert.reason)),
            f"{alert.score:.2f}",
            alert.judged_by,
        )
    n_events = counted(document.events, "event")
    foot = (
        f"{document.rule or 'the rule'} would have raised {counted(len(document.alerts), 'alert')} "
        f"in {format_duration(document.searched_s)}; of {n_events} {document.within_cooldown} came "
        f"within the cool-down, {document.dismissed} were dismissed"
    )
    return Group(table, Text(foot), *(Text(printable(note), "dim") for note in document.notes))


@render.register
def _(document: DestinationsResponse) -> RenderableType:
    table = plain_table("name", "kind", "where", "pictures", "for", "waiting", "given up")
    for item in document.destinations:
        table.add_row(
            Text(printable(item.name)),
            item.kind,
            Text(printable(item.address)),
            "yes" if item.pictures else "no",
            Text(printable(item.user or "everybody")),
            str(item.waiting),
            str(item.dead),
        )
    return table


@render.register
def _(item: DestinationItem) -> RenderableType:
    lines = [Text(printable(f"{item.name}: {item.kind} at {item.address}"))]
    if item.signing_secret is not None:
        lines.append(Text(f"signed with {item.signing_secret}, which is shown this once"))
    return Group(*lines)


@render.register
def _(document: DeliveriesResponse) -> RenderableType:
    table = plain_table("delivery", "alert", "name", "state", "attempts", "found")
    for item in document.deliveries:
        table.add_row(*_delivery(item))
    return table


@render.register
def _(item: DeliveryItem) -> RenderableType:
    table = plain_table("delivery", "alert", "name", "state", "attempts", "found")
    table.add_row(*_delivery(item))
    return table


def precision_text(alerts: AlertPrecision) -> str:
    """Return how often a rule was right, with how many answers that rests on."""
    if alerts.precision is None:
        return "nobody has answered"
    return f"{alerts.precision:.2f} of {alerts.n} answered"


def _delivery(item: DeliveryItem) -> tuple[str | Text, ...]:
    return (
        str(item.delivery_id),
        str(item.alert_id),
        Text(printable(item.destination)),
        item.state,
        str(item.attempts),
        Text(printable(item.error or "")),
    )


def _when(span: VideoSpan) -> str:
    if span.start_at is None:
        return span.start
    return f"{clock_text(span.start_at)} {span.start_at[-6:]}"
