"""Models: what answers and looks at footage here, what there is beside it, and whether it fits."""

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.settings import update_settings
from app.schemas.models import CheckpointItem, EyeItem, ModelOverviewResponse
from app.schemas.settings import UpdateSettingsRequest
from app.services.models import show_models
from app.sizes import size_text
from app.ui.caller import EVENT, PASSIVE, as_sentences, require_reader, require_session
from app.ui.components.table import RowAction, Table, TableData, TableRow
from app.ui.markup import NOTHING, heading, part

EMPTY: Final = '<p class="faint">Looking at what is here …</p>'

Update = dict[Any, object]


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    ModelsPage(context).draw(blocks)


class ModelsPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        note = "Figures of memory are computed from published sizes, not measured."
        gr.HTML(heading("Models", note=note), apply_default_css=False)
        self._answer = gr.HTML(apply_default_css=False)
        self._now = gr.HTML(part(Markup(EMPTY)), apply_default_css=False)
        self._models = Table(elem_id="lw-models")
        shown = [self._answer, self._now, self._models]
        blocks.load(self.show, None, shown, **PASSIVE)
        self._models.act(self.use, None, shown, **EVENT)

    def show(self, request: gr.Request) -> Update:
        """Show the models as far as the user may see them."""
        with as_sentences(request):
            return self._show(require_reader(request))

    def use(self, event: gr.EventData, request: gr.Request) -> Update:
        """Let another model answer from the next start on."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            body = UpdateSettingsRequest(changes={"model": event.key}, confirm=False)
            update_settings(self._context, principal, body)
            words = (
                f"{event.key} answers once the server and its workers are started again. Videos "
                "that another model has read are then read anew when they are ingested."
            )
            note = Markup('<p class="note notice" role="status">{}</p>').format(words)
            return {**self._show(principal), self._answer: part(note)}

    def _show(self, principal: Principal) -> Update:
        overview = show_models(self._context.services, principal)
        return {
            self._now: part(_now(overview), kind="models"),
            self._models: _table(overview, is_admin=principal.is_admin),
        }


def _now(overview: ModelOverviewResponse) -> Markup:
    model, machine = overview.active, overview.machine
    words = model.note or "It is taken to know real footage."
    if not model.ready:
        words = model.detail
    eyes = Markup("").join(map(_eye, overview.eyes))
    none = Markup('<p class="muted">Nothing: the setting sight.observers is empty.</p>')
    return Markup(
        '<section class="panel pad" aria-label="Answers"><h2>Answers questions</h2>'
        '<p class="big">{}</p><p class="{}">{}</p><p class="faint">On this machine: {}, {} of '
        'memory</p></section><section class="panel pad" aria-label="Looks at footage">'
        '<h2>Looks at your footage</h2><dl class="eyes">{}</dl></section>'
    ).format(
        model.name,
        "muted" if model.ready else "wrong",
        words,
        machine.device,
        size_text(machine.memory_bytes),
        eyes or none,
    )


def _eye(eye: EyeItem) -> Markup:
    licence = f"Licence: {eye.licence}." if eye.licence else ""
    beside = " ".join(filter(None, (eye.measured, licence)))
    missing = Markup('<span class="wrong">{}</span>').format(f"Missing: {eye.missing}")
    return Markup('<dt>{}</dt><dd>{} <span class="faint">{}</span>{}</dd>').format(
        eye.name, eye.states, beside, missing if eye.missing else NOTHING
    )


def _table(overview: ModelOverviewResponse, *, is_admin: bool) -> TableData:
    active = overview.active.name.replace("--", "/")
    return TableData(
        title="Models that there are",
        columns=("Model", "Weights", "Memory here", "Licence", "How to get it"),
        wide_only=frozenset({"Licence"}),
        rows=tuple(
            _row(item, is_active=item.name == active, is_admin=is_admin) for item in overview.models
        ),
    )


def _row(item: CheckpointItem, *, is_active: bool, is_admin: bool) -> TableRow:
    is_here = item.where is not None
    may_use = is_admin and is_here and not is_active
    use = RowAction(action="use", text="Use it", label=f"Let {item.name} answer")
    return TableRow(
        key=item.name,
        cells=(
            Markup('<strong>{}</strong><div class="faint">{}</div>').format(
                item.name,
                # A terminal marks names so, a page does not.
                " · ".join(filter(None, (item.family, item.note))).replace("`", ""),
            ),
            "" if item.weight_bytes is None else _size(item.weight_bytes),
            _fit(item),
            item.licence or "",
            _way(item, is_active=is_active),
        ),
        actions=(use,) if may_use else (),
    )


def _size(n_bytes: int) -> str:
    """Return a size that stays on one line."""
    return size_text(n_bytes).replace(" ", "\N{NO-BREAK SPACE}")


def _fit(item: CheckpointItem) -> Markup:
    if item.memory_bytes is None:
        return Markup('<span class="faint">not known</span>')
    kind, words = ("ready", "fits") if item.fits else ("", "too much")
    chip = Markup('<span class="chip {}"><span class="dot"></span>{}</span>').format(kind, words)
    return Markup('<div class="row"><span>{}</span>{}</div>').format(_size(item.memory_bytes), chip)


def _way(item: CheckpointItem, *, is_active: bool) -> Markup:
    if is_active:
        return Markup('<span class="chip ready"><span class="dot"></span>answers now</span>')
    if item.where is not None:
        return Markup('<span class="faint">on this machine</span>')
    return Markup('<code class="mono">longwatch models pull {}</code>').format(item.name)
