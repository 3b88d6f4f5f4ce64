"""Panels of the library: facts and fields of a video, tags of several, what asks first, sources."""

import json
from collections.abc import Sequence
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.videos import (
    add_video,
    change_video,
    delete_video,
    get_video,
    ingest_video,
    list_media_roots,
)
from app.schemas.videos import AddVideoRequest, ChangeVideoRequest, VideoItem
from app.services.library import change_video as change_row
from app.services.library_query import list_facets
from app.services.observe import enqueue_observe
from app.sizes import size_text
from app.timefmt import clock_text, format_duration
from app.ui.caller import EVENT, as_sentences, checked, require_session
from app.ui.components.drawer import DrawerHead
from app.ui.markup import NOTHING, filmed_text, part
from app.ui.seen import ActionPanel
from engine.errors import InputRefusedError, LongwatchError
from engine.plural import counted

Update = dict[Any, object]
MOST_KEYS: Final = 2000
MOST_NAMED: Final = 5


class LibraryDrawers:
    """The panels, for one server; at most one of them is open."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self) -> None:
        """Draw the panels, closed."""
        self._keys, self._action = gr.Textbox(visible=False), gr.Textbox(visible=False)
        with gr.Column(visible=False, elem_classes=["lw-drawer"], elem_id="lw-edit") as self._edit:
            self._edit_head = DrawerHead()
            self._name = gr.Textbox(label="Name", max_length=120)
            self._tags = _tag_field("Tags")
            self._start = gr.Textbox(
                label="Wall clock of the first frame", placeholder="2026-03-01 22:00:05"
            )
            self._zone = gr.Textbox(
                label="Time zone where it was filmed", placeholder="that of the settings"
            )
            self._save = ActionPanel(draw_button("Save"))
            self._facts = gr.HTML(apply_default_css=False)
        with gr.Column(visible=False, elem_classes=["lw-drawer"], elem_id="lw-tag") as self._tag:
            self._tag_head = DrawerHead()
            self._added, self._removed = _tag_field("Add"), _tag_field("Remove", is_new=False)
            self._apply = ActionPanel(draw_button("Apply"))
        with gr.Column(visible=False, elem_classes=["lw-drawer"], elem_id="lw-sure") as self._sure:
            self._sure_head = DrawerHead()
            self._sure_words = gr.HTML(apply_default_css=False)
            self._go = ActionPanel(draw_button("Go"))
        with gr.Column(visible=False, elem_classes=["lw-drawer"], elem_id="lw-add") as self._add:
            self._add_head = DrawerHead()
            self._address = gr.Textbox(
                label="Address of a camera or stream",
                placeholder="rtsp://user:password@camera/stream",
            )
            self._file = gr.Dropdown([], label="Or a file of the server")
            self._roots = gr.HTML(apply_default_css=False)
            self._new_name = gr.Textbox(label="Name (optional)", max_length=120)
            self._new_start = gr.Textbox(
                label="Wall clock of the first frame (optional)", placeholder="2026-03-01 22:00:05"
            )
            self._new_zone = gr.Textbox(
                label="Time zone where it was filmed (optional)", placeholder="Europe/Berlin"
            )
            self._take = ActionPanel(draw_button("Add"))
        self._columns = (self._edit, self._tag, self._sure, self._add)
        fields = [self._edit_head, self._name, self._tags, self._start, self._zone, self._save]
        fields += [self._facts, self._tag_head, self._added, self._removed, self._sure_head]
        fields += [self._sure_words, self._go, self._add_head, self._address, self._file]
        fields += [self._roots, self._new_name, self._new_start, self._new_zone]
        self.parts: list[Any] = [*self._columns, self._keys, self._action, *fields]
        """Components that an opening or a closing changes."""

    def wire(self) -> list[Any]:
        """Wire the events; return those after which the library is another."""
        for head in (self._edit_head, self._tag_head, self._sure_head, self._add_head):
            head.leave(self.close, None, self.parts, **EVENT)
        edit = [self._keys, self._name, self._tags, self._start, self._zone]
        new = [self._address, self._file, self._new_name, self._new_start, self._new_zone]
        return [
            self._save.act(self.save, edit, self.parts, **EVENT),
            self._apply.act(
                self.apply_tags, [self._keys, self._added, self._removed], self.parts, **EVENT
            ),
            self._go.act(self.go, [self._keys, self._action], self.parts, **EVENT),
            self._take.act(self.take, new, self.parts, **EVENT),
        ]

    def close(self) -> Update:
        """Close whichever panel is open."""
        return self._only(None)

    def open_details(self, principal: Principal, video: str) -> Update:
        """Open the facts of a video, with fields for an admin."""
        item = get_video(self._context, principal, video)
        admin = principal.is_admin
        tags = list_facets(self._context.services, principal).tags
        return {
            **self._only(self._edit, [video]),
            self._edit_head: item.name,
            self._name: gr.update(value=item.name, visible=admin),
            self._tags: gr.update(choices=list(tags), value=item.tags, visible=admin),
            self._start: gr.update(
                value=clock_text(item.start_at) if item.start_at else "", visible=admin
            ),
            self._zone: gr.update(value=item.timezone or "", visible=admin),
            self._save: draw_button("Save") if admin else "",
            self._facts: part(_facts(item)),
        }

    def open_tags(self, principal: Principal, videos: Sequence[str]) -> Update:
        """Open the tags of several videos."""
        rows = [self._context.video(principal, video) for video in videos]
        known = list_facets(self._context.services, principal).tags
        present = dict.fromkeys(tag for row in rows for tag in row.tags)
        return {
            **self._only(self._tag, videos),
            self._tag_head: f"Tags of {counted(len(rows), 'video')}",
            self._added: gr.update(choices=list(known), value=[]),
            self._removed: gr.update(choices=list(present), value=[], visible=bool(present)),
        }

    def ask_first(self, principal: Principal, action: str, videos: Sequence[str]) -> Update:
        """Say what removing or reading videos again means, before it is done."""
        items = [get_video(self._context, principal, video) for video in videos]
        many = counted(len(items), "video")
        if action == "remove":
            title, words, text = f"Delete {many}?", _removal(items), "Delete"
        else:
            title, words, text = f"Read {many} again?", _AGAIN, "Read again"
        return {
            **self._only(self._sure, videos),
            self._action: action,
            self._sure_head: title,
            self._sure_words: part(Markup("<p>{}</p>").format(_names(items)), words, kind="stack"),
            self._go: draw_button(text, is_dangerous=action == "remove"),
        }

    def open_sources(self, principal: Principal) -> Update:
        """Open the fields of a new source."""
        roots = list_media_roots(self._context, principal)
        note = Markup('<p class="faint">Files below {} can be chosen.</p>').format(
            ", ".join(roots.roots)
        )
        if not roots.roots:
            note = Markup(
                '<p class="faint">Files of the server can be chosen once an administrator has '
                "set <code>paths.media_roots</code>.</p>"
            )
        return {
            **self._only(self._add),
            self._add_head: "Add a camera or a file of the server",
            self._address: "",
            self._file: gr.update(
                choices=[(_below(file, roots.roots), file) for file in roots.files],
                value=None,
                visible=bool(roots.roots),
            ),
            self._roots: part(note),
            self._new_name: "",
            self._new_start: "",
            self._new_zone: "",
        }

    def save(
        self,
        keys: str,
        name: str,
        tags: list[str],
        start: str,
        zone: str,
        request: gr.Request,
    ) -> Update:
        """Save name, tags, wall clock and zone of a video."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            (video,) = _keys(keys)
            item = get_video(self._context, principal, video)
            changes: dict[str, Any] = {}
            if name.strip() != item.name:
                changes["name"] = name
            if tags != item.tags:
                changes["tags"] = tags or []
            if start.strip() != (clock_text(item.start_at) if item.start_at else ""):
                changes["start_at"] = start.strip() or None
            if zone.strip() != (item.timezone or ""):
                changes["timezone"] = zone.strip() or None
            if changes:
                body = checked(ChangeVideoRequest, **changes)
                change_video(self._context, principal, video, body)
            return self._only(None)

    def apply_tags(
        self, keys: str, add: list[str], remove: list[str], request: gr.Request
    ) -> Update:
        """Add tags to videos, and remove others."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            for video in _keys(keys):
                row = self._context.video(principal, video)
                change_row(
                    self._context.services, row, add_tags=add or (), remove_tags=remove or ()
                )
            return self._only(None)

    def go(self, keys: str, action: str, request: gr.Request) -> Update:
        """Do to videos what was asked for; the first that fails is named, the others are done."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            failed: list[LongwatchError] = []
            for video in _keys(keys):
                try:
                    self._do(principal, action, video)
                except LongwatchError as error:
                    failed.append(error)
            if failed:
                raise failed[0]
            return self._only(None)

    def take(
        self, address: str, file: str | None, name: str, start: str, zone: str, request: gr.Request
    ) -> Update:
        """Add a camera, or a file of the server."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            source = (address or "").strip() or file
            if not source:
                raise InputRefusedError("there is nothing to add", hint="give an address or a file")
            body = checked(
                AddVideoRequest,
                source=source,
                name=(name or "").strip() or None,
                start_at=(start or "").strip() or None,
                timezone=(zone or "").strip() or None,
            )
            add_video(self._context, principal, body)
            return self._only(None)

    def _do(self, principal: Principal, action: str, video: str) -> None:
        if action == "remove":
            delete_video(self._context, principal, video)
            return
        ingest_video(self._context, principal, video)
        # Nothing where nothing observes: what was asked for is done.
        enqueue_observe(self._context.services, self._context.video(principal, video), again=True)

    def _only(self, column: Any, keys: Sequence[str] = ()) -> Update:
        shown: Update = {other: gr.update(visible=other is column) for other in self._columns}
        return {**shown, self._keys: json.dumps(list(keys))}


_AGAIN: Final = Markup(
    "<p>Chunks that are missing or damaged are read again, and what was observed is looked at "
    "anew. Questions already work meanwhile.</p>"
)


def draw_button(text: str, *, is_dangerous: bool = False) -> str:
    """Return the button of a panel."""
    # Not a `gr.Button`, for which every visitor of the page would load seven files.
    return part(
        Markup('<button type="button" class="lw-go {}" data-action="go">{}</button>').format(
            "danger" if is_dangerous else "primary", text
        )
    )


def _removal(items: Sequence[VideoItem]) -> Markup:
    uploaded = sum(item.uri == "uploaded" for item in items)
    files = "The files themselves stay where they are."
    if uploaded == len(items):
        files = "The uploaded files are deleted too."
    elif uploaded:
        files = f"{counted(uploaded, 'uploaded file')} go too; the other files stay where they are."
    return Markup(
        "<p>Memory ({}), pictures, observations and jobs are deleted. {} "
        "<strong>This cannot be undone.</strong></p>"
    ).format(size_text(sum(item.latent_bytes for item in items)), files)


def _names(items: Sequence[VideoItem]) -> str:
    names = ", ".join(item.name for item in items[:MOST_NAMED])
    more = len(items) - MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names


def _facts(item: VideoItem) -> Markup:
    facts: list[tuple[str, str]] = []
    if item.duration_s:
        facts.append(("Length", format_duration(item.duration_s)))
    if item.width_px:
        facts.append(("Picture", f"{item.width_px} by {item.height_px}, {item.video_codec}"))
    if item.start_at:
        facts.append(("Filmed", filmed_text(item.start_at, item.start_source)))
    if item.chunks:
        read = f"{item.chunks} chunks, {size_text(item.latent_bytes)} kept"
        facts.append(("Read", read))
    if item.realtime_factor:
        facts.append(("Speed of reading", f"{item.realtime_factor:.0f} times real time"))
    if item.recording:
        place = item.recording
        lost = f", {', '.join(map(str, place.missing))} missing" if place.missing else ""
        facts.append(("Part", f"{place.part} of {place.parts} of {place.name}{lost}"))
    facts.append(("Source", item.uri))
    lines = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts
    )
    warnings = Markup("").join(Markup("<li>{}</li>").format(text) for text in item.warnings)
    noted = Markup("<h3>Noticed while reading</h3><ul>{}</ul>").format(warnings)
    return Markup('<dl class="facts-list">{}</dl>{}').format(
        lines, noted if item.warnings else NOTHING
    )


def _below(file: str, roots: Sequence[str]) -> str:
    root = next((root for root in roots if file.startswith(root)), "")
    return file.removeprefix(root).lstrip("/")


def _tag_field(label: str, *, is_new: bool = True) -> gr.Dropdown:
    return gr.Dropdown([], label=label, multiselect=True, allow_custom_value=is_new)


def _keys(text: str) -> list[str]:
    """Return the ids of a hidden field."""
    keys = json.loads(text or "[]")
    return [str(key) for key in keys[:MOST_KEYS]]
