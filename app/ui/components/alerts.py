"""Alerts as cards with their pictures, and what somebody may answer."""

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from markupsafe import Markup

from app.schemas.alerts import AlertItem
from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING, filmed_text, local_time, part, span_text

_STATES = {"acknowledged": "right", "false_alarm": "false alarm", "dismissed": "dismissed"}
_JUDGES = {
    "observations": "seen",
    "model": "confirmed by the model",
    "vectors": "looks like it, not confirmed",
    "clock": "by the clock",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCards:
    """The value of `AlertGallery`."""

    alerts: tuple[AlertItem, ...]
    instead: Markup = NOTHING
    """What stands in place of no alert."""


class AlertGallery(OwnComponent):
    """Cards of `AlertCards`, each with its picture, reason, score and two answers.

    Events: `act`, with `action` (`acknowledged` or `false_alarm`) and `key` of the alert.
    """

    script: ClassVar[str] = "relay"
    triggers: ClassVar[tuple[str, ...]] = ("act",)

    def postprocess(self, value: AlertCards | str | None) -> str:
        """Return the cards as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        if not value.alerts:
            return part(value.instead)
        cards = Markup("").join(map(_card, value.alerts))
        return part(Markup('<div class="alerts">{}</div>').format(cards))


def _card(alert: AlertItem) -> Markup:
    query = urlencode({"v": alert.video_id, "t": f"{alert.start_s:.1f}", "end": alert.end_s})
    when = (
        filmed_text(alert.start_at, alert.start_source)
        if alert.start_at
        else span_text(alert.start_s, alert.end_s)
    )
    words = f"{alert.rule}, {alert.camera or alert.video}, {when}"
    picture = Markup('<span class="still none">no picture was kept</span>')
    if alert.has_picture:
        picture = Markup(
            '<img class="still" src="/api/v1/alerts/{}/picture.jpg" alt="" loading="lazy" '
            'decoding="async" width="320" height="180">'
        ).format(alert.alert_id)
    return Markup(
        '<article class="moment alert {state}"><a class="shot" href="/ui/watch?{query}" '
        'aria-label="Play {words}">{picture}<span class="stamp">{span}</span>{chip}</a>'
        '<div class="body"><strong>{rule}</strong><span>{reason}</span>'
        '<span class="faint">{video} · {when}</span>'
        '<span class="faint">score {score:.2f}, {judge} · raised {raised}</span>{foot}</div>'
        "</article>"
    ).format(
        state=alert.state,
        query=query,
        words=words,
        picture=picture,
        span=span_text(alert.start_s, alert.end_s),
        chip=_chip(alert),
        rule=alert.rule,
        reason=alert.reason,
        video=alert.camera or alert.video,
        when=when,
        score=alert.score,
        judge=_JUDGES[alert.judged_by],
        raised=local_time(alert.raised_at),
        foot=_answers(alert),
    )


def _chip(alert: AlertItem) -> Markup:
    if alert.state == "open":
        return NOTHING
    return Markup('<span class="badge">{}</span>').format(_STATES[alert.state])


def _answers(alert: AlertItem) -> Markup:
    if alert.state == "dismissed":
        return NOTHING
    buttons = Markup("").join(
        Markup(
            '<button type="button" class="quiet" data-action="{}" data-key="{}" aria-label="{}"'
            ' aria-pressed="{}">{}</button>'
        ).format(
            state,
            alert.alert_id,
            f"{text}: alert {alert.alert_id} of {alert.rule}",
            "true" if alert.state == state else "false",
            text,
        )
        for state, text in (("acknowledged", "It was right"), ("false_alarm", "False alarm"))
    )
    by = Markup('<span class="faint">{}</span>').format(alert.decided_by or "")
    return Markup('<div class="row">{}{}</div>').format(buttons, by)
