"""Alerts: what rules raised, with pictures and answers; rules and destinations for admins."""

from typing import Any, Final

import gradio as gr
from gradio.events import Dependency

from app.api.alerts import decide_alert, list_alerts
from app.api.auth import Principal
from app.api.deps import AppContext
from app.schemas.alerts import DecideAlertRequest
from app.ui.alert_destinations import DestinationPanels
from app.ui.alert_rules import RulePanels
from app.ui.caller import EVENT, PASSIVE, as_sentences, require_reader, require_session
from app.ui.components.alerts import AlertCards, AlertGallery
from app.ui.components.pulse import Pulse
from app.ui.layout import line
from app.ui.markup import empty, heading

SHOWN: Final = {
    "Unanswered": ["open"],
    "All": [],
    "False alarms": ["false_alarm"],
    "Dismissed": ["dismissed"],
}
EVERY_S: Final = 5.0
MOST: Final = 48


def build(context: AppContext, blocks: gr.Blocks) -> Dependency:
    """Draw the page; return the event by which somebody answers an alert."""
    return AlertsPage(context).draw(blocks)


class AlertsPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> Dependency:
        """Draw the components and wire their events; return that of an answer."""
        gr.HTML(
            heading("Alerts", note="What standing questions have raised; answers are counted."),
            apply_default_css=False,
        )
        which = gr.Radio([*SHOWN], value="Unanswered", show_label=False, elem_id="lw-alerts-shown")
        gallery = AlertGallery(elem_id="lw-alerts")
        pulse = Pulse(EVERY_S)
        with line("settings", visible=False, elem_id="lw-alert-admin") as admin:
            rules = RulePanels(self._context)
            rules.draw()
            destinations = DestinationPanels(self._context)
            destinations.draw()
        blocks.load(self.show, which, gallery, **PASSIVE)
        blocks.load(self.show_admin, None, admin, **PASSIVE)
        which.change(self.show, which, gallery, **EVENT)
        pulse.beat(self.show, which, gallery, **PASSIVE)
        answered: Dependency = gallery.act(self.answer, which, gallery, **EVENT)
        rules.wire(blocks, answered)
        destinations.wire(blocks)
        return answered

    def show(self, which: str, request: gr.Request) -> AlertCards:
        """Return the alerts that the user may see."""
        with as_sentences(request):
            return self._cards(require_reader(request), which)

    def show_admin(self, request: gr.Request) -> Any:
        """Show rules and destinations to admins alone."""
        with as_sentences(request):
            return gr.update(visible=require_reader(request).is_admin)

    def answer(self, which: str, event: gr.EventData, request: gr.Request) -> AlertCards:
        """Write down what somebody says of an alert."""
        with as_sentences(request):
            principal = require_session(request)
            body = DecideAlertRequest(state=event.action)
            decide_alert(self._context, principal, int(event.key), body)
            return self._cards(principal, which)

    def _cards(self, principal: Principal, which: str) -> AlertCards:
        states = SHOWN.get(which, ["open"])
        listed = list_alerts(self._context, principal, state=states, limit=MOST)
        return AlertCards(alerts=tuple(listed.alerts), instead=_nothing(which))


def _nothing(which: str) -> Any:
    if which == "Unanswered":
        return empty("list", "Nothing is unanswered", "What a rule raises appears here by itself.")
    return empty("list", "No such alert", "Rules raise them; a dry run says what one would raise.")
