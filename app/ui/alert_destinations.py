"""Destinations on the alerts page: where alerts may be sent, tests, and what was given up."""

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.alerts import (
    add_destination,
    list_deliveries,
    list_destinations,
    remove_destination,
    retry_delivery,
    try_destination,
)
from app.api.auth import Principal
from app.api.deps import AppContext
from app.schemas.destinations import CreateDestinationRequest, DeliveryItem, DestinationItem
from app.services.accounts import list_accounts
from app.ui.caller import EVENT, PASSIVE, as_sentences, checked, require_session
from app.ui.components.table import RowAction, Table, TableData, TableRow
from app.ui.layout import folded
from app.ui.markup import local_time, part, problem
from engine.errors import LongwatchError

Update = dict[Any, object]
KINDS: Final = ["webhook", "mqtt", "email", "apprise"]
EVERYBODY: Final = "everything"


class DestinationPanels:
    """The panels of destinations, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self) -> None:
        """Draw the panels."""
        with gr.Column(elem_classes=["lw-card"], elem_id="lw-destinations"):
            gr.HTML(part(Markup("<h2>Destinations</h2>")), apply_default_css=False)
            self._places = Table()
            self._answer = gr.HTML(apply_default_css=False, elem_id="lw-destination-answer")
            with folded("Add a destination"):
                self._kind = gr.Dropdown(KINDS, value="webhook", label="Kind")
                self._name = gr.Textbox(label="Name", elem_id="lw-destination-name")
                self._address = gr.Textbox(
                    label="Address, with its secrets; never shown again",
                    type="password",
                    elem_id="lw-destination-address",
                )
                self._to = gr.Textbox(label="Of mail: to, with commas")
                self._sender = gr.Textbox(label="Of mail: from")
                self._user = gr.Dropdown(
                    [EVERYBODY], value=EVERYBODY, label="Gets what may be seen by"
                )
                self._pictures = gr.Checkbox(True, label="With stills")
                self._add = gr.Button("Add", elem_id="lw-destination-add")
            gr.HTML(part(Markup("<h2>Given up</h2>")), apply_default_css=False)
            self._dead = Table(elem_id="lw-dead")

    def wire(self, blocks: gr.Blocks) -> None:
        """Wire the events."""
        shown = [self._places, self._dead, self._user, self._answer]
        blocks.load(self.show, None, shown, **PASSIVE)
        fields = [self._kind, self._name, self._address, self._to, self._sender]
        fields += [self._user, self._pictures]
        self._add.click(self.add, set(fields), [*shown, self._name, self._address], **EVENT)
        self._places.act(self.act, None, shown, **EVENT)
        self._dead.act(self.act, None, shown, **EVENT)

    def show(self, request: gr.Request) -> Update:
        """Show the destinations to admins."""
        with as_sentences(request):
            principal = require_session(request)
            return self._shown(principal) if principal.is_admin else {self._answer: ""}

    def add(self, values: dict[Any, Any], request: gr.Request) -> Update:
        """Add a destination; the secret of a webhook is shown once."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        user = values[self._user]
        try:
            body = checked(
                CreateDestinationRequest,
                name=values[self._name] or "",
                kind=values[self._kind],
                address=values[self._address] or "",
                to=[word.strip() for word in (values[self._to] or "").split(",") if word.strip()],
                sender=(values[self._sender] or "").strip(),
                pictures=bool(values[self._pictures]),
                user=None if user == EVERYBODY else user,
            )
            item = add_destination(self._context, principal, body)
        except LongwatchError as error:
            return {self._answer: part(problem(str(error), error.hint))}
        secret = Markup("")
        if item.signing_secret is not None:
            secret = Markup(
                '<p>It is signed with this secret, shown once:</p><p class="secret">{}</p>'
            ).format(item.signing_secret)
        added = Markup('<p role="status">{} is added.</p>').format(item.name)
        return {
            **self._shown(principal),
            self._answer: part(added, secret),
            self._name: "",
            self._address: "",
        }

    def act(self, event: gr.EventData, request: gr.Request) -> Update:
        """Test a destination or delete it, or send once more what was given up."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        context, key = self._context, str(event.key)
        try:
            if event.action == "retry":
                item = retry_delivery(context, principal, int(key))
                words = f"delivery {item.delivery_id} is sent once more"
            elif event.action == "test":
                words = try_destination(context, principal, key).message
            else:
                words = remove_destination(context, principal, key).message
        except LongwatchError as error:
            return {self._answer: part(problem(str(error), error.hint))}
        outcome = Markup('<p role="status">{}.</p>').format(words)
        return {**self._shown(principal), self._answer: part(outcome)}

    def _shown(self, principal: Principal) -> Update:
        users = [user.name for user in list_accounts(self._context.services).users]
        dead = list_deliveries(self._context, principal, state=["dead"]).deliveries
        return {
            self._places: _places(list_destinations(self._context, principal).destinations),
            self._dead: _dead(dead),
            self._user: gr.update(choices=[EVERYBODY, *users]),
        }


def _places(items: list[DestinationItem]) -> TableData:
    return TableData(
        title="Destinations",
        columns=("Destination", "Where", "Waiting"),
        rows=tuple(
            TableRow(
                key=item.name,
                cells=(
                    Markup('<strong>{}</strong><div class="faint">{}</div>').format(
                        item.name, f"what {item.user} may see" if item.user else "everything"
                    ),
                    Markup('<span class="mono">{}</span>').format(item.address),
                    str(item.waiting),
                ),
                actions=(
                    RowAction(action="test", text="Test", label=f"Test {item.name}"),
                    RowAction(
                        action="delete",
                        text="Delete",
                        label=f"Delete {item.name}",
                        asks="What waits to be sent there is dropped, its secret too.",
                    ),
                ),
            )
            for item in items
        ),
        instead=Markup('<p class="faint">None: nothing is sent anywhere.</p>'),
    )


def _dead(items: list[DeliveryItem]) -> TableData:
    return TableData(
        title="Deliveries that were given up",
        columns=("Alert", "Why", "Since"),
        wide_only=frozenset({"Since"}),
        rows=tuple(
            TableRow(
                key=str(item.delivery_id),
                cells=(
                    f"{item.alert_id} to {item.destination}",
                    Markup('<span class="wrong">{}</span>').format(item.error or ""),
                    local_time(item.ended_at or item.created_at),
                ),
                actions=(
                    RowAction(
                        action="retry",
                        text="Send again",
                        label=f"Send delivery {item.delivery_id} again",
                    ),
                ),
            )
            for item in items
        ),
        instead=Markup('<p class="faint">Nothing: whatever was raised has arrived or waits.</p>'),
    )
