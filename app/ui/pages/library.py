"""The library: videos as cards that are searched, sorted, chosen; uploads; what is being read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.videos import caption_video, describe, ingest_video
from app.schemas.videos import VideoItem
from app.services.job_kinds import OBSERVE
from app.services.jobs import cancel_job, describe_job, running_jobs
from app.services.library import disk_room, places_in_recordings
from app.services.library_query import (
    camera_names,
    camera_of,
    find_videos,
    labels_of,
    list_facets,
)
from app.services.sample import add_sample, is_sample, sample_questions
from app.ui.caller import EVENT, PASSIVE, REVISIT, as_sentences, require_reader, require_session
from app.ui.components.address import Address, read_query
from app.ui.components.grid import CardGrid, GridChange, change_grid
from app.ui.components.pulse import Pulse
from app.ui.components.upload import Upload
from app.ui.library_drawers import MOST_KEYS, LibraryDrawers
from app.ui.library_fields import SORTS, LibraryFields
from app.ui.library_parts import (
    draw_chosen,
    draw_drawing,
    draw_empty,
    draw_head,
    draw_nothing_found,
    draw_pager,
    draw_sample,
    draw_spoken,
    quarters,
)
from app.ui.markup import part, problem
from app.ui.seen import ActionPanel
from app.ui.video_card import draw_card
from app.ui.video_status import is_being_read
from engine.errors import InputRefusedError
from storage.records import VideoRow

ON_A_PAGE: Final = 48
BUSY_S: Final = 1.5
IDLE_S: Final = 6.0
NEAR: Final = timedelta(days=7)
"""Before the retention takes a video its card says so for this long."""

Update = dict[Any, object]
Values = dict[Any, Any]
"""Components with what they hold."""


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    LibraryView(context).draw(blocks)


class LibraryView:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context
        self._services = context.services

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        self._head = gr.HTML(draw_head(), apply_default_css=False, elem_id="lw-head")
        with gr.Column(visible=False) as self._uploads:
            self._upload = Upload(other="Camera or server file …")
        with gr.Row(elem_classes=["filters", "library"], visible=False) as self._filters:
            self._text = gr.Textbox(
                label="Find", placeholder="a name or a tag", max_length=256, elem_id="lw-find"
            )
            self._sort = gr.Dropdown(list(SORTS.items()), value="newest", label="Order")
            self._tags = gr.Dropdown([], label="Tagged", multiselect=True, elem_id="lw-tags")
            self._observed = gr.Dropdown([("anything", "")], value="", label="Shows")
            self._camera = gr.Dropdown([("any", "")], value="", label="Camera")
            self._since = gr.Textbox(label="From day", placeholder="2026-03-01", max_length=10)
            self._until = gr.Textbox(label="Until day", placeholder="2026-03-31", max_length=10)
        self._note = ActionPanel(elem_id="lw-note")
        self._cards = CardGrid(elem_id="lw-cards")
        self._pager, self._bar = ActionPanel(elem_id="lw-pager"), ActionPanel(elem_id="lw-bar")
        self._drawers = LibraryDrawers(self._context)
        self._drawers.draw()
        self._spoken = gr.HTML(apply_default_css=False)
        self._page, self._known, self._chosen, self._reading = (
            gr.Textbox(visible=False) for _ in range(4)
        )
        self._pulse, self._address = Pulse(IDLE_S), Address()
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        # What is typed comes last: a change of it is told with the fields that were set before it.
        fields: list[Any] = [self._sort, self._tags, self._observed, self._camera]
        fields += [self._since, self._until]
        fields += [self._page, self._known, self._reading, self._chosen, self._address, self._text]
        now: set[Any] = set(fields)
        shown = [*fields, self._head, self._uploads, self._filters, self._note, self._cards]
        shown += [self._pager, self._bar, self._spoken, self._pulse]
        opened = [*shown, *self._drawers.parts]
        blocks.load(self.visit, None, shown, **PASSIVE)
        self._address.revisit(self.revisit, now, shown, **REVISIT)
        changes = [self._sort.input, self._tags.input, self._observed.input, self._camera.input]
        changes += [self._since.submit, self._until.submit, self._text.submit]
        changes += [self._since.blur, self._until.blur]
        gr.on(changes, self.search, now, shown, **EVENT)
        # Not `input`, which Gradio has for key strokes alone, and not for what is pasted.
        self._text.change(self.search, now, shown, trigger_mode="multiple", **EVENT)
        self._pager.act(self.turn, now, shown, **EVENT)
        self._pulse.beat(self.follow, now, shown, **PASSIVE)
        self._upload.added(self.follow_change, now, shown, **EVENT)
        self._upload.other(self.open_sources, None, opened, **EVENT)
        self._cards.act(self.act_on_card, now, opened, **EVENT)
        self._cards.missing(self.draw_again, now, shown, **EVENT)
        self._cards.choose(
            self.choose, None, [self._chosen, self._bar], trigger_mode="multiple", **EVENT
        )
        self._bar.act(self.act_on_chosen, now, opened, **EVENT)
        self._note.act(self.act_on_note, now, shown, **EVENT)
        for changed in self._drawers.wire():
            changed.success(self.follow_change, now, shown, **EVENT)

    def visit(self, request: gr.Request) -> Update:
        """Show what the address says when the page is opened."""
        fields = LibraryFields.of_address(dict(request.query_params))
        return self._show(fields, {}, request)

    def revisit(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Show what the address says after the user went back."""
        return self._show(LibraryFields.of_address(read_query(event.query)), values, request)

    def search(self, values: Values, request: gr.Request) -> Any:
        """Show the first page of what the fields ask for."""
        fields = replace(self._read(values), page=1)
        # A field that is left as it was asks for nothing.
        if replace(LibraryFields.of_address(read_query(values[self._address])), page=1) == fields:
            return gr.skip()
        with as_sentences(request):
            return self._list(fields, values, require_reader(request))

    def draw_again(self, values: Values, request: gr.Request) -> Update:
        """Send every card, whatever the page should have."""
        return self.follow({**values, self._known: ""}, request)

    def turn(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Show another page."""
        fields = replace(self._read(values), page=int(event.key))
        with as_sentences(request):
            return self._list(fields, values, require_reader(request))

    def follow(self, values: Values, request: gr.Request) -> Update:
        """Show how far the reading is, and what came or went."""
        with as_sentences(request):
            principal = require_reader(request)
            return self._list(self._read(values), values, principal)

    def follow_change(self, values: Values, request: gr.Request) -> Update:
        """Show the library after a panel has changed it; what is gone is chosen no more."""
        with as_sentences(request):
            principal = require_reader(request)
            there = {row.id for row in self._context.videos(principal)}
            kept = [key for key in _keys(values[self._chosen]) if key in there]
        shown = self._show(self._read(values), values, request, chosen=kept)
        return {**shown, **self._offer(kept, principal)}

    def choose(self, event: gr.EventData, request: gr.Request) -> Update:
        """Offer what can be done with the cards that are chosen."""
        with as_sentences(request):
            principal = require_reader(request)
            return self._offer([str(key) for key in event.keys[:MOST_KEYS]], principal)

    def open_sources(self, request: gr.Request) -> Update:
        """Open the fields of a new source."""
        with as_sentences(request):
            return self._drawers.open_sources(require_session(request, admin=True))

    def act_on_card(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Do what a menu or a chip of a card says."""
        fields = self._read(values)
        if event.action == "tag":
            fields = replace(fields, tags=tuple(dict.fromkeys([*fields.tags, event.key])), page=1)
            return self._show(fields, values, request)
        if event.action == "observed":
            return self._show(replace(fields, observed=event.key, page=1), values, request)
        with as_sentences(request):
            if event.action == "details":
                return self._drawers.open_details(require_reader(request), event.key)
            principal = require_session(request, admin=True)
            if event.action == "remove":
                return self._drawers.ask_first(principal, "remove", [event.key])
            self._start(principal, event.action, event.key)
        return self.follow(values, request)

    def act_on_chosen(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Do what the bar says with the videos that are chosen."""
        keys = _keys(values[self._chosen])
        with as_sentences(request):
            principal = require_reader(request)
            if event.action == "none":
                return {self._cards: GridChange(chosen=()), **self._offer([], principal)}
            principal = require_session(request, admin=True)
            if event.action == "tag":
                return self._drawers.open_tags(principal, keys)
            return self._drawers.ask_first(principal, event.action, keys)

    def act_on_note(
        self, values: Values, event: gr.EventData, request: gr.Request
    ) -> Iterator[Update]:
        """Show all videos again, or draw the sample."""
        if event.action == "clear":
            yield self._show(LibraryFields(sort=self._read(values).sort), values, request)
            return
        with as_sentences(request):
            require_session(request, admin=True)
            yield {self._note: draw_drawing()}
            add_sample(self._services)
        yield self._show(self._read(values), values, request)

    def _start(self, principal: Principal, action: str, video: str) -> None:
        if action == "caption":
            caption_video(self._context, principal, video)
        elif action == "read":
            ingest_video(self._context, principal, video)
        elif action == "stop":
            row = self._context.video(principal, video)
            if (job := running_jobs(self._services).get(row.id)) is not None:
                cancel_job(self._services, job.id)

    def _show(
        self,
        fields: LibraryFields,
        values: Values,
        request: gr.Request,
        chosen: Sequence[str] | None = None,
    ) -> Update:
        """Return the whole page, with what there is to filter by."""
        with as_sentences(request):
            principal = require_reader(request)
            facets = list_facets(self._services, principal)
            tags = dict.fromkeys([*facets.tags, *fields.tags])
            return {
                **self._list(fields, values, principal, chosen),
                **self._around(principal),
                self._uploads: gr.update(visible=principal.is_admin),
                self._text: fields.text,
                self._sort: fields.sort,
                self._tags: gr.update(
                    choices=list(tags), value=list(fields.tags), visible=bool(tags)
                ),
                self._observed: _menu("anything", facets.observed, fields.observed),
                self._camera: _menu("any", facets.cameras, fields.camera),
                self._since: fields.since,
                self._until: fields.until,
            }

    def _around(self, principal: Principal) -> Update:
        """Return what the library takes, and its filters where there is something to find."""
        room = disk_room(self._services, principal)
        return {
            self._head: draw_head(room),
            self._filters: gr.update(visible=room.n_videos > 0),
        }

    def _list(
        self,
        fields: LibraryFields,
        values: Values,
        principal: Principal,
        chosen: Sequence[str] | None = None,
    ) -> Update:
        """Return the cards of a page of what is asked for, and what stands around them."""
        try:
            rows = find_videos(self._services, fields.query(), principal)
        except InputRefusedError as error:
            grid, known = change_grid({}, values.get(self._known) or "")
            words = part(problem(str(error), error.hint))
            nothing: Update = {} if grid is None else {self._cards: grid, self._known: known}
            return {**nothing, self._note: words, self._pager: "", self._address: fields.address}
        page = max(1, min(fields.page, -(-len(rows) // ON_A_PAGE)))
        fields = replace(fields, page=page)
        items = self._describe(rows[(page - 1) * ON_A_PAGE : page * ON_A_PAGE], principal)
        cards = {item.video_id: card for item, card in items}
        grid, known = change_grid(cards, values.get(self._known) or "", chosen=chosen)
        videos = [item for item, _ in items]
        before = json.loads(values.get(self._reading) or "{}")
        changed: Update = {}
        if grid is not None:
            changed = {**self._around(principal), self._cards: grid, self._known: known}
        if spoken := draw_spoken(videos, before):
            changed[self._spoken] = spoken
        return {
            **changed,
            self._note: self._note_of(fields, rows, principal),
            self._pager: draw_pager(page, ON_A_PAGE, len(rows)),
            self._page: str(page),
            self._reading: json.dumps(quarters(videos)),
            self._pulse: BUSY_S if any(map(is_being_read, videos)) else IDLE_S,
            self._address: fields.address,
        }

    def _describe(
        self, rows: Sequence[VideoRow], principal: Principal
    ) -> list[tuple[VideoItem, Markup]]:
        """Return videos with their cards."""
        places = places_in_recordings(self._services, rows, principal)
        labels, names = labels_of(self._services, rows), camera_names(self._services)
        reading = running_jobs(self._services)
        observing = running_jobs(self._services, OBSERVE)
        described = []
        for row in rows:
            item = describe(self._context, row, reading.get(row.id), principal, places.get(row.id))
            job = observing.get(row.id)
            card = draw_card(
                item,
                labels=labels.get(row.id, ()),
                camera=camera_of(row, places, names),
                added=row.created_at.astimezone().strftime("%Y-%m-%d"),
                observing=None if job is None else describe_job(self._services, job, principal),
                leaves=self._leaves(row),
                is_admin=principal.is_admin,
            )
            described.append((item, card))
        return described

    def _leaves(self, row: VideoRow) -> str:
        days = self._context.settings.retention.days
        if days is None:
            return ""
        left = row.created_at + timedelta(days=days) - datetime.now(UTC)
        if left > NEAR:
            return ""
        return f"leaves in {left.days + 1} d" if left > timedelta(0) else "leaves within the hour"

    def _note_of(
        self, fields: LibraryFields, rows: Sequence[VideoRow], principal: Principal
    ) -> str:
        if not rows:
            everything = fields.is_narrow and self._context.videos(principal)
            return draw_nothing_found() if everything else draw_empty(is_admin=principal.is_admin)
        first = rows[0]
        if len(rows) == 1 and is_sample(self._services, first) and first.status == "ready":
            return draw_sample(first.id, sample_questions())
        return ""

    def _offer(self, keys: Sequence[str], principal: Principal) -> Update:
        """Return what can be done with the videos that are chosen."""
        return {
            self._chosen: json.dumps(list(keys)),
            self._bar: draw_chosen(keys, is_admin=principal.is_admin),
        }

    def _read(self, values: Values) -> LibraryFields:
        return LibraryFields(
            text=values[self._text] or "",
            sort=values[self._sort] or "newest",
            tags=tuple(values[self._tags] or ()),
            observed=values[self._observed] or "",
            camera=values[self._camera] or "",
            since=values[self._since] or "",
            until=values[self._until] or "",
            page=int(values[self._page] or 1),
        )


def _menu(nothing: str, names: Sequence[str], chosen: str) -> object:
    kept = dict.fromkeys([*names, *([chosen] if chosen else [])])
    return gr.update(
        choices=[(nothing, ""), *((name, name) for name in kept)], value=chosen, visible=bool(kept)
    )


def _keys(text: str) -> list[str]:
    return [str(key) for key in json.loads(text or "[]")[:MOST_KEYS]]
