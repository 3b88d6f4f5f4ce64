"""Rules on the alerts page: how often each was right, a form with a zone to draw, dry runs."""

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.alerts import add_rule, change_rule, list_rules, remove_rule, try_condition
from app.api.auth import Principal
from app.api.deps import AppContext
from app.schemas.alerts import (
    WEEKDAYS,
    AlertCondition,
    AlertRuleItem,
    CreateAlertRuleRequest,
    TryAlertRuleRequest,
    TryAlertRuleResponse,
    UpdateAlertRuleRequest,
    corners_text,
    read_corners,
)
from app.services.destinations import list_destinations
from app.timefmt import clock_text, format_duration, parse_time
from app.ui.caller import EVENT, PASSIVE, as_sentences, checked, require_session
from app.ui.components.table import RowAction, Table, TableData, TableRow
from app.ui.components.zone import ZoneDrawing, ZonePicture
from app.ui.layout import folded, line
from app.ui.markup import part, problem
from engine.errors import InputRefusedError, LongwatchError
from engine.plural import counted

Update = dict[Any, object]
KINDS: Final = {
    "A thing": "object",
    "Movement": "motion",
    "Print": "text",
    "Speech": "speech",
    "A description": "phrase",
    "Nothing moves": "no_motion",
    "No picture comes": "no_picture",
    "Nothing is recorded": "no_recording",
}
PLACES: Final = ["Anywhere", "In a zone", "Over a line"]
DIRECTIONS: Final = ["any", "left", "right", "up", "down"]


class RulePanels:
    """The panels of rules, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self) -> None:
        """Draw the panels."""
        with gr.Column(elem_classes=["lw-card"], elem_id="lw-rules"):
            gr.HTML(part(Markup("<h2>Rules</h2>")), apply_default_css=False)
            self._rules = Table(elem_id="lw-rule-table")
            self._answer = gr.HTML(apply_default_css=False, elem_id="lw-rule-answer")
            with folded("Write a rule", elem_id="lw-rule-form") as self._form:
                self._draw_fields()

    def _draw_fields(self) -> None:
        self._changed = gr.State("")
        """The name of the rule that the form was opened with, until it is saved."""
        self._name = gr.Textbox(label="Name", elem_id="lw-rule-name")
        self._kind = gr.Dropdown(
            [*KINDS], value="A thing", label="Looks for", elem_id="lw-rule-kind"
        )
        self._words = gr.Textbox(
            label="Which thing, which words, or what it looks like", elem_id="lw-rule-words"
        )
        self._videos = gr.Dropdown([], label="In (empty: everywhere)", multiselect=True)
        self._place = gr.Radio(PLACES, value="Anywhere", label="Where", elem_id="lw-rule-place")
        self._drawing = ZonePicture(elem_id="lw-rule-zone")
        self._corners = gr.Textbox(
            label="Corners in shares of width and height", visible=False, elem_id="lw-rule-corners"
        )
        self._direction = gr.Dropdown(DIRECTIONS, value="any", label="Going", visible=False)
        self._days = gr.CheckboxGroup([*WEEKDAYS], label="Days (none: every day)")
        self._hours = gr.Textbox(label="Hours where it is filmed", placeholder="22:00-06:00")
        self._sure = gr.Slider(0.05, 0.99, value=0.5, step=0.01, label="Least support")
        self._least = gr.Textbox("0", label="Lasts at least")
        self._too_long = gr.Textbox("10m", label="Too long is (no movement, picture or recording)")
        self._cooldown = gr.Textbox("1m", label="At most one alert of a camera in")
        self._to = gr.Dropdown([], label="Send to (empty: listed here alone)", multiselect=True)
        with line("actions"):
            self._try = gr.Button("Try on what was recorded", elem_id="lw-rule-try")
            self._save = gr.Button("Save", variant="primary", elem_id="lw-rule-save")

    def wire(self, blocks: gr.Blocks, answered: Any) -> None:
        """Wire the events; answers to alerts change the precision of rules."""
        shown = [self._rules, self._videos, self._to]
        fields = [self._name, self._kind, self._words, self._videos, self._place, self._corners]
        fields += [self._direction, self._days, self._hours, self._sure, self._least]
        fields += [self._too_long, self._cooldown, self._to]
        blocks.load(self.show, None, shown, **PASSIVE)
        answered.then(self.show, None, shown, **EVENT)
        form = [self._form, self._drawing, self._changed, self._save, *fields]
        self._rules.act(self.act, None, [*shown, self._answer, *form], **EVENT)
        places = [self._drawing, self._corners, self._direction]
        drawn = [self._place, self._videos, self._corners]
        # What is drawn itself needs no answer: one would be older than the hand that draws on.
        for changed in (self._place.input, self._videos.input):
            changed(self.draw_place, drawn, places, **EVENT)
        for written in (self._corners.submit, self._corners.blur):
            written(self.draw_place, drawn, places, **EVENT)
        self._drawing.draw(self.take_corners, None, self._corners, **EVENT)
        self._try.click(self.try_rule, set(fields), self._answer, **EVENT)
        saved = [*shown, self._answer, self._changed, self._save]
        self._save.click(self.save, {*fields, self._changed}, saved, **EVENT)

    def show(self, request: gr.Request) -> Update:
        """Show the rules, and what a rule may name."""
        with as_sentences(request):
            principal = require_session(request)
            return self._shown(principal) if principal.is_admin else {self._answer: ""}

    def draw_place(
        self, place: str, videos: list[str], corners: str, request: gr.Request
    ) -> Update:
        """Show the picture to draw on, and the corners as text."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            try:
                drawn = read_corners(corners or "")
            except ValueError:
                drawn = []
            return {
                self._drawing: self._drawn(principal, place, videos, drawn),
                self._corners: gr.update(visible=place != "Anywhere"),
                self._direction: gr.update(visible=place == "Over a line"),
            }

    def _drawn(
        self,
        principal: Principal,
        place: str,
        videos: Sequence[str],
        corners: Sequence[tuple[float, float]],
    ) -> ZoneDrawing:
        """Return corners over a still of the first video that they are for."""
        rows = self._context.videos(principal)
        row = next((row for row in rows if not videos or row.id in videos), None)
        picture = ""
        if place != "Anywhere" and row is not None:
            middle_s = (row.duration_s or row.ingested_s) / 2
            picture = f"/media/{row.id}/frame.jpg?t={middle_s:.1f}&w=640"
        shape = "line" if place == "Over a line" else "zone"
        return ZoneDrawing(picture=picture, corners=tuple(corners), shape=shape)

    def take_corners(self, event: gr.EventData) -> str:
        """Return what was drawn as text."""
        return str(event.corners)[:2000]

    def act(self, event: gr.EventData, request: gr.Request) -> Update:
        """Switch a rule, try it, change it or delete it."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            context, name = self._context, str(event.key)
            if event.action in {"on", "off"}:
                body = UpdateAlertRuleRequest(enabled=event.action == "on")
                change_rule(context, principal, name, body)
            elif event.action == "delete":
                remove_rule(context, principal, name)
            elif event.action == "try":
                kept = TryAlertRuleRequest(rule=name)
                return {self._answer: _tried(try_condition(context, principal, kept))}
            elif event.action == "edit":
                rules = {rule.name: rule for rule in list_rules(context, principal).rules}
                return self._filled(principal, rules[name])
            return {**self._shown(principal), self._answer: ""}

    def try_rule(self, values: dict[Any, Any], request: gr.Request) -> str:
        """Say what the rule in the form would have raised."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        try:
            body = TryAlertRuleRequest(rule=None, condition=self._condition(values))
            return _tried(try_condition(self._context, principal, body))
        except LongwatchError as error:
            return part(problem(str(error), error.hint))

    def save(self, values: dict[Any, Any], request: gr.Request) -> Update:
        """Change the rule that the form was opened with, or that of its name; else add one."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        try:
            name, condition = str(values[self._name] or "").strip(), self._condition(values)
            names = {rule.name for rule in list_rules(self._context, principal).rules}
            before = values[self._changed] if values[self._changed] in names else name
            if before in names:
                changed = checked(UpdateAlertRuleRequest, name=name, condition=condition)
                rule = change_rule(self._context, principal, before, changed)
            else:
                new = checked(CreateAlertRuleRequest, name=name, condition=condition)
                rule = add_rule(self._context, principal, new)
        except LongwatchError as error:
            return {self._answer: part(problem(str(error), error.hint))}
        notes = Markup("").join(Markup("<p>{}</p>").format(note) for note in rule.notes)
        saved = Markup('<p role="status">{} is saved: {}</p>{}').format(
            rule.name, rule.in_words, notes
        )
        # What is saved next under another name is another rule.
        opened = {self._changed: "", self._save: "Save"}
        return {**self._shown(principal), self._answer: part(saved), **opened}

    def _condition(self, values: dict[Any, Any]) -> AlertCondition:
        place, corners = values[self._place], values[self._corners] or ""
        try:
            drawn = read_corners(corners) if place != "Anywhere" else []
            times = {
                name: parse_time(str(values[field] or "0"))
                for name, field in (
                    ("least_s", self._least),
                    ("too_long_s", self._too_long),
                    ("cooldown_s", self._cooldown),
                )
            }
        except ValueError as error:
            raise InputRefusedError(str(error)) from error
        if place == "Over a line" and len(drawn) != 2:
            raise InputRefusedError("a line has two ends", hint="set them on the picture")
        line = {"start": drawn[0], "end": drawn[1], "direction": values[self._direction]}
        condition: AlertCondition = checked(
            AlertCondition,
            kind=KINDS[values[self._kind]],
            words=values[self._words] or "",
            videos=values[self._videos] or [],
            zone=drawn if place == "In a zone" else [],
            line=line if place == "Over a line" else None,
            days=values[self._days] or [],
            hours=(values[self._hours] or "").strip() or None,
            sure=values[self._sure],
            destinations=values[self._to] or [],
            **times,
        )
        return condition

    def _shown(self, principal: Principal) -> Update:
        videos = [(row.name, row.id) for row in self._context.videos(principal)]
        places = list_destinations(self._context.services).destinations
        return {
            self._rules: _table(list_rules(self._context, principal).rules),
            self._videos: gr.update(choices=videos),
            self._to: gr.update(choices=[item.name for item in places]),
        }

    def _filled(self, principal: Principal, rule: AlertRuleItem) -> Update:
        """Return the form with what a rule says."""
        condition = rule.condition
        place, drawn, direction = "Anywhere", [*condition.zone], "any"
        if condition.zone:
            place = "In a zone"
        if condition.line is not None:
            place, direction = "Over a line", condition.line.direction
            drawn = [condition.line.start, condition.line.end]
        kinds = {kind: name for name, kind in KINDS.items()}
        return {
            self._form: gr.update(open=True),
            self._answer: "",
            self._changed: rule.name,
            self._save: "Save changes",
            self._name: rule.name,
            self._kind: kinds[condition.kind],
            self._words: condition.words,
            self._videos: condition.videos,
            self._place: place,
            self._drawing: self._drawn(principal, place, condition.videos, drawn),
            self._corners: gr.update(value=corners_text(drawn), visible=place != "Anywhere"),
            self._direction: gr.update(value=direction, visible=place == "Over a line"),
            self._days: condition.days,
            self._hours: condition.hours or "",
            self._sure: condition.sure,
            self._least: f"{condition.least_s:g}",
            self._too_long: f"{condition.too_long_s:g}",
            self._cooldown: f"{condition.cooldown_s:g}",
            self._to: condition.destinations,
        }


def _table(rules: list[AlertRuleItem]) -> TableData:
    return TableData(
        title="Rules",
        columns=("Rule", "Was right", "Open"),
        rows=tuple(map(_row, rules)),
        instead=Markup('<p class="faint">None yet: nothing is raised.</p>'),
    )


def _row(rule: AlertRuleItem) -> TableRow:
    switch = ("off", "Switch off") if rule.enabled else ("on", "Switch on")
    actions = (switch, ("try", "Try"), ("edit", "Change"), ("delete", "Delete"))
    counts = rule.alerts
    right = "nobody has answered"
    if counts.precision is not None:
        right = f"{counts.precision:.0%} of {counts.n} answered"
    state = Markup("") if rule.enabled else Markup(' <span class="chip">off</span>')
    notes = Markup("").join(Markup('<div class="wrong">{}</div>').format(n) for n in rule.notes)
    return TableRow(
        key=rule.name,
        cells=(
            Markup('<strong>{}</strong>{}<div class="faint">{}</div>{}').format(
                rule.name, state, rule.in_words, notes
            ),
            right,
            str(counts.open),
        ),
        actions=tuple(
            RowAction(
                action=action,
                text=text,
                label=f"{text} {rule.name}",
                asks=_DELETING if action == "delete" else "",
            )
            for action, text in actions
        ),
    )


_DELETING: Final = "It raises nothing more; the alerts that it has raised stay."


def _tried(document: TryAlertRuleResponse) -> str:
    """Return what a rule would have raised, with a way to each moment."""
    lines = Markup("").join(
        Markup(
            '<li><a href="/ui/watch?v={}&amp;t={:.1f}&amp;end={:.1f}">{}, {}</a>'
            ' <span class="faint">{} ({:.2f}, {})</span></li>'
        ).format(
            alert.video_id,
            alert.start_s,
            alert.end_s,
            alert.video,
            clock_text(alert.start_at) if alert.start_at else alert.start,
            alert.reason,
            alert.score,
            alert.judged_by,
        )
        for alert in document.alerts
    )
    notes = Markup("").join(Markup("<p>{}</p>").format(note) for note in document.notes)
    return part(
        Markup(
            '<div role="status"><p>It would have raised <strong>{}</strong> in {}; of {} {} came '
            "within the cool-down and {} were dismissed.</p><ol>{}</ol>{}</div>"
        ).format(
            counted(len(document.alerts), "alert"),
            format_duration(document.searched_s),
            counted(document.events, "event"),
            document.within_cooldown,
            document.dismissed,
            lines,
            notes,
        )
    )
