"""Settings: how this server is configured, who may come in, and what could ever leave it."""

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.settings import get_setting_values, update_settings
from app.config.settings_file import EDITABLE
from app.errors import ConflictError
from app.schemas.settings import SettingItem, UpdateSettingsRequest
from app.services.settings import describe_settings
from app.ui.accounts import AccountPanels
from app.ui.caller import EVENT, PASSIVE, as_sentences, require_reader, require_session
from app.ui.components.table import Table, TableData, TableRow
from app.ui.hints import web_hint
from app.ui.layout import line
from app.ui.markup import NOTHING, heading, part, problem
from app.version import product_version
from engine.errors import LongwatchError

VALUES: Final = "Model, budgets and retention"
CHOSEN: Final = "chosen by the model or the engine"

Update = dict[Any, object]
"""Components with what they show from now on."""


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    SettingsPage(context).draw(blocks)


class SettingsPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        gr.HTML(heading("Settings", note=f"version {product_version()}"), apply_default_css=False)
        with line("settings"):
            with gr.Column():
                self._draw_values()
                self._readable = Table(visible=False, elem_id="lw-readable")
                self._facts = Table(visible=False)
            with gr.Column():
                accounts = AccountPanels(self._context)
                accounts.draw()
                self._outward = Table(visible=False)
        shown = [self._form, *self._fields, self._notice, self._answer, self._readable]
        shown += [self._facts, self._outward, self._ask_first, self._save]
        blocks.load(self.show, None, shown, **PASSIVE)
        self._save.click(self.save, set(self._fields), shown, **EVENT)
        self._confirm.click(self.save_confirmed, set(self._fields), shown, **EVENT)
        self._keep.click(self.show, None, shown, **EVENT)
        accounts.wire(blocks)

    def _draw_values(self) -> None:
        with gr.Column(visible=False, elem_id="lw-values", elem_classes=["lw-card"]) as self._form:
            gr.HTML(part(Markup("<h2>{}</h2>").format(VALUES)), apply_default_css=False)
            self._notice = gr.HTML(apply_default_css=False)
            self._fields = [
                gr.Textbox(label=editable.name, elem_id=f"lw-{editable.setting.replace('.', '-')}")
                for editable in EDITABLE
            ]
            self._answer = gr.HTML(apply_default_css=False, elem_id="lw-values-answer")
            self._save = gr.Button("Save", variant="primary", elem_id="lw-save")
            with line(visible=False, elem_id="lw-ask-first") as self._ask_first:
                self._confirm = gr.Button("Delete them", variant="stop")
                self._keep = gr.Button("Keep them")

    def show(self, request: gr.Request) -> Update:
        """Show the settings as far as the user may see them."""
        with as_sentences(request):
            principal = require_reader(request)
            values = get_setting_values(self._context, principal).settings
            if not principal.is_admin:
                return {self._readable: gr.update(value=_readable(values), visible=True)}
            settings = describe_settings(
                self._context.services, with_worker=self._context.with_worker
            )
            facts = [(fact.name, fact.value, _mono(fact.setting)) for fact in settings.facts]
            outward = [
                (item.what, web_hint(item.when, principal) or "", item.now)
                for item in settings.outward
            ]
            return {
                **self._values(values),
                self._facts: gr.update(
                    value=_table("In force", ("In force", "Value", "Setting"), facts), visible=True
                ),
                self._outward: gr.update(
                    value=_table(
                        "What could ever leave this machine",
                        ("What could ever leave this machine", "When", "Now"),
                        outward,
                    ),
                    visible=True,
                ),
            }

    def save(self, texts: dict[Any, str], request: gr.Request) -> Update:
        """Save what was changed; where videos would leave at once, ask first."""
        return self._change(texts, request, is_confirmed=False)

    def save_confirmed(self, texts: dict[Any, str], request: gr.Request) -> Update:
        """Save what was changed, whatever leaves by it."""
        return self._change(texts, request, is_confirmed=True)

    def _change(self, texts: dict[Any, str], request: gr.Request, *, is_confirmed: bool) -> Update:
        with as_sentences(request):
            principal = require_session(request, admin=True)
        before = {item.setting: item for item in self._items(principal)}
        changes = {}
        for field, editable in zip(self._fields, EDITABLE, strict=True):
            item, text = before[editable.setting], (texts[field] or "").strip()
            if item.locked_by is None and text != _shown(item):
                changes[item.setting] = _value(item, text)
        if not changes:
            return self._values(self._items(principal))
        try:
            body = UpdateSettingsRequest(changes=changes, confirm=is_confirmed)
            update_settings(self._context, principal, body)
        except ConflictError as error:
            return {
                self._answer: part(problem(f"{error}.", "This cannot be undone.")),
                self._ask_first: gr.update(visible=True),
                self._save: gr.update(visible=False),
            }
        except LongwatchError as error:
            return {self._answer: part(problem(str(error), error.hint))}
        return self._values(self._items(principal), "Saved.")

    def _items(self, principal: Principal) -> list[SettingItem]:
        return get_setting_values(self._context, principal).settings

    def _values(self, values: list[SettingItem], words: str = "") -> Update:
        """Return the fields with their values, and what waits for a restart."""
        by_name = {item.setting: item for item in values}
        fields = {
            field: _field(by_name[editable.setting])
            for field, editable in zip(self._fields, EDITABLE, strict=True)
        }
        waiting = [f"{item.name} {item.value or '(default)'}" for item in values if item.is_waiting]
        notice = NOTHING
        if waiting:
            notice = Markup('<p class="note notice" role="status">{} {}.</p>').format(
                "Start the server and its workers again to use:", ", ".join(waiting)
            )
        outcome = Markup('<p class="faint" role="status">{}</p>').format(words)
        return {
            **fields,
            self._form: gr.update(visible=True),
            self._notice: part(notice),
            self._answer: part(outcome if words else NOTHING),
            self._ask_first: gr.update(visible=False),
            self._save: gr.update(visible=True),
        }


def _shown(item: SettingItem) -> str:
    """Return the text of a field: empty where the default holds."""
    return "" if item.is_default and item.kind != "text" else (item.value or "")


def _field(item: SettingItem) -> object:
    notes = [f"held by {item.locked_by}"] if item.locked_by else []
    if item.is_waiting:
        notes.append(f"in force until the restart: {item.in_force or 'the default'}")
    elif item.needs_restart and not item.locked_by:
        notes.append("used after a restart")
    nothing = "never" if item.setting == "retention.days" else CHOSEN
    return gr.update(
        value=_shown(item),
        placeholder=item.value or nothing,
        info="; ".join([item.setting, *(notes or ["used at once"])]),
        interactive=item.locked_by is None,
    )


def _value(item: SettingItem, text: str) -> str | float | int | None:
    """Return what was typed as the setting takes it; an emptied field goes back to its default."""
    if not text:
        return None
    if item.kind == "text":
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _mono(text: str) -> Markup:
    return Markup('<span class="faint mono">{}</span>').format(text)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> TableData:
    return TableData(
        title=title,
        columns=columns,
        rows=tuple(TableRow(key=str(place), cells=row) for place, row in enumerate(rows)),
        wide_only=frozenset({"Setting"}),
    )


def _readable(values: list[SettingItem]) -> TableData:
    rows = [(item.name, item.value or CHOSEN, _mono(item.setting)) for item in values]
    return _table(VALUES, (VALUES, "Value", "Setting"), rows)
