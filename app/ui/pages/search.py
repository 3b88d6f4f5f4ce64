"""Search: one box, filters, moments with their stills; the address holds all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

import gradio as gr
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext
from app.api.questions import search_moments
from app.schemas.search import SearchHit, SearchResponse
from app.schemas.verdicts import VerdictRequest
from app.services.access import Access, visible_cameras
from app.services.ask import model_note
from app.services.search_words import bad_bound, read_search
from app.services.verdicts import verdicts_on
from app.timefmt import format_clock
from app.ui.caller import EVENT, PASSIVE, REVISIT, as_sentences, require_reader, sentence_of
from app.ui.components.address import Address, read_query
from app.ui.components.moments import MomentCard, MomentGallery, MomentGroup, MomentList
from app.ui.layout import line
from app.ui.markup import empty, heading, left_out, problem
from app.ui.search_fields import KINDS, SearchFields, frame_of
from app.ui.verdicts import Verdicts, add_verdicts, hit_moment
from app.ui.video_picker import VideoPicker
from engine.errors import LongwatchError
from storage.records import VideoRow


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    SearchPage(context).draw(blocks)


class SearchPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        services = self._context.services
        gr.HTML(heading("Search", note=model_note(services)), apply_default_css=False)
        with line("ask-box"):
            query = gr.Textbox(
                label="Search",
                placeholder="a person carrying a box   camera:gate   after:22:00",
                show_label=False,
                container=False,
                max_length=int(services.settings.limits.question_chars),
                autofocus=True,
                elem_id="lw-query",
            )
            go = gr.Button("Search", variant="primary", scale=0, min_width=100)
        with line("filters"):
            self._picker = VideoPicker(
                self._context, label="Only in", multiselect=True, elem_id="lw-videos"
            )
            videos = self._picker.menu
            choices = [(name, key) for key, name in KINDS.items()]
            cameras = gr.Dropdown(
                [], label="Cameras", multiselect=True, visible=False, elem_id="lw-of-cameras"
            )
            kind = gr.Dropdown(choices, value="", label="Found by")
            after = gr.Textbox(label="From", placeholder="1:30 or a date")
            before = gr.Textbox(label="Until", placeholder="90m or a date")
            hours = gr.Textbox(label="Hours of the day", placeholder="22:00-06:00")
            is_grouped = gr.Checkbox(label="Group by video", elem_classes=["in-line"])
        like = gr.Textbox(visible=False)
        drop_like = gr.Button(visible=False, size="sm", elem_classes=["chip-button"])
        cards = MomentGallery(elem_id="lw-found")
        address = Address()
        add_verdicts(self._context)

        fields = [query, videos, cameras, kind, after, before, hours, is_grouped, like]
        inputs = [*fields]
        shown = [*fields, drop_like, cards, address]
        presses = [query.submit, go.click, after.submit, before.submit, hours.submit]
        changes = [is_grouped.input, videos.input, cameras.input, kind.input]
        gr.on(
            [*presses, *changes],
            self.show,
            inputs,
            shown,
            show_progress_on=[cards],
            **EVENT | {"show_progress": "minimal"},
        )
        cards.similar(self.pick, None, [query, like], **EVENT).then(
            self.show, inputs, shown, **EVENT
        )
        drop_like.click(lambda: "", None, like, **EVENT).then(self.show, inputs, shown, **EVENT)
        address.revisit(self.revisit, None, shown, **REVISIT)
        blocks.load(self.visit, None, shown, **PASSIVE)

    async def show(
        self,
        query: str,
        videos: list[str],
        cameras: list[str],
        kind: str,
        after: str,
        before: str,
        hours: str,
        is_grouped: bool,
        like: str,
        request: gr.Request,
    ) -> tuple[object, ...]:
        """Search, and return what every part of the page then shows."""
        fields = SearchFields(
            query=query or "",
            videos=tuple(videos or ()),
            cameras=tuple(cameras or ()),
            kind=kind or "",
            after=after or "",
            before=before or "",
            hours=hours or "",
            is_grouped=is_grouped,
            like=like or "",
        )
        return await self._search(fields, request)

    async def visit(self, request: gr.Request) -> tuple[object, ...]:
        """Show what the address says when the page is opened."""
        return await self._search(SearchFields.of_address(dict(request.query_params)), request)

    async def revisit(self, event: gr.EventData, request: gr.Request) -> tuple[object, ...]:
        """Show what the address says after the user went back."""
        return await self._search(SearchFields.of_address(read_query(event.query)), request)

    def pick(self, event: gr.EventData) -> tuple[str, str]:
        """Take the frame of a card in place of words."""
        return "", f"{event.video_id}@{float(event.time_s):.1f}"

    async def _search(self, fields: SearchFields, request: gr.Request) -> tuple[object, ...]:
        with as_sentences(request):
            principal = require_reader(request)
            rows = self._context.videos(principal)
            named = visible_cameras(self._context.services, principal)
            cameras = {str(camera.id): camera.name for camera in named}
            words = read_search(fields.query, rows, cameras)
            fields = replace(
                fields,
                videos=tuple(dict.fromkeys([*fields.videos, *words.videos])),
                cameras=tuple(dict.fromkeys([*fields.cameras, *words.cameras])),
                after=words.after or fields.after,
                before=words.before or fields.before,
                hours=words.hours or fields.hours,
                like="" if words.query else fields.like,
            )
            problems = [*words.problems, *_problems(fields, rows, cameras)]
            if problems:
                # What cannot be understood stays where it was typed, to be mended there.
                refused = _refused(f"{'; '.join(problems)}. Correct or remove it.")
                return *self._values(principal, fields, rows, cameras), refused, gr.skip()
            fields = replace(fields, query=words.query)
            cards = _greeting(rows)
            if fields.query or fields.like:
                try:
                    response = await search_moments(self._context, principal, fields.body())
                except LongwatchError as error:
                    # In the page: Gradio shows no refusal of what a page asks as it loads.
                    refused = _refused(sentence_of(error, principal))
                    return *self._values(principal, fields, rows, cameras), refused, gr.skip()
                query = fields.query or f"like {fields.like}"
                given = await run_in_threadpool(
                    verdicts_on, self._context.services, principal.user.id, query
                )
                cards = _describe(response, query, given, is_grouped=fields.is_grouped)
        return *self._values(principal, fields, rows, cameras), cards, fields.address()

    def _values(
        self,
        access: Access,
        fields: SearchFields,
        rows: Sequence[VideoRow],
        cameras: Mapping[str, str],
    ) -> tuple[object, ...]:
        """Return fields as the components show them, and the chip of the frame."""
        return (
            fields.query,
            self._picker.show(access, fields.videos),
            gr.update(
                choices=[(name, key) for key, name in cameras.items()],
                value=list(fields.cameras),
                visible=bool(cameras),
            ),
            fields.kind,
            fields.after,
            fields.before,
            fields.hours,
            fields.is_grouped,
            fields.like,
            gr.update(value=_like_text(fields.like, rows), visible=bool(fields.like)),
        )


def _problems(
    fields: SearchFields, rows: Sequence[VideoRow], cameras: Mapping[str, str]
) -> list[str]:
    """Return what is wrong with the filters of the fields: a search without them is another."""
    bounds = [("after", fields.after), ("before", fields.before), ("time", fields.hours)]
    problems = [problem for name, text in bounds if (problem := bad_bound(name, text))]
    if not {row.id for row in rows}.issuperset(fields.videos):
        problems.append("a video of this search is gone, or was not shared with you")
    if not cameras.keys() >= {*fields.cameras}:
        problems.append("a camera of this search is gone, or was not shared with you")
    return problems


def _like_text(like: str, rows: Sequence[VideoRow]) -> str:
    frame = frame_of(like)
    if frame is None:
        return ""
    name = next((row.name for row in rows if row.id == frame.video_id), "a frame")
    return f"like {name} at {format_clock(frame.time_s)}  \u00d7"


def _refused(words: str) -> MomentList:
    return MomentList(before=problem("Nothing was searched", words))


def _greeting(rows: Sequence[VideoRow]) -> MomentList:
    n_indexed = sum(bool(row.n_chunks) for row in rows)
    if not n_indexed:
        link = Markup('<a class="button" href="/ui/">Open the library</a>')
        words = "Add a video; its first chunks can be searched while the rest is being read."
        return MomentList(before=empty("search", "Nothing is indexed yet", words, link))
    return MomentList(
        before=empty(
            "search",
            f"Search {n_indexed} video{'' if n_indexed == 1 else 's'}",
            "Describe what a moment looks like. Narrow it with the fields above, or with "
            "camera:NAME, tag:NAME, after: and before: among the words.",
        )
    )


def _took(total_ms: float) -> str:
    return f"{total_ms:.0f} ms" if total_ms < 1000 else f"{total_ms / 1000:.1f} s"


def _describe(
    response: SearchResponse, query: str, given: Verdicts, *, is_grouped: bool
) -> MomentList:
    """Return what was found, with what was said of it: first that, then what is merely near."""
    if not response.hits:
        words = (
            f"{response.searched} were searched. "
            "Remove a filter, or describe what the picture shows rather than what it means."
        )
        return MomentList(
            before=empty("search", "No moment matches", words), after=left_out(response.left_out)
        )
    confirmed = [hit for hit in response.hits if hit.confirmed]
    titles = {True: "Found", False: "Nearest moments, not confirmed"}
    key = (lambda hit: hit.video) if is_grouped else (lambda hit: titles[hit.confirmed])
    hits = sorted(response.hits, key=key) if is_grouped else response.hits
    count = f"{len(confirmed)} found" if confirmed else "Nothing here confirms this"
    return MomentList(
        before=Markup(
            '<p class="faint" role="status">{} · searched {} of footage in {}</p>{}{}'
        ).format(
            count,
            response.searched,
            _took(response.timing.total_ms),
            _encoders(response),
            Markup("{}{}").format(_observing(response), left_out(response.left_out)),
        ),
        groups=tuple(
            MomentGroup(
                title=title,
                cards=tuple(
                    _card(hit, hit_moment(hit, query, given), is_grouped=is_grouped)
                    for hit in group
                ),
            )
            for title, group in groupby(hits, key)
        ),
    )


def _card(hit: SearchHit, verdict: VerdictRequest, *, is_grouped: bool) -> MomentCard:
    """Return a hit as a card: below the name of its video that name says nothing."""
    seen = hit.text if hit.kind == "object" or not hit.text else f"“{hit.text}”"
    return MomentCard(
        video_id=hit.video_id,
        video=hit.video,
        start_s=hit.start_s,
        end_s=hit.end_s,
        peak_s=hit.peak_s,
        about=" · ".join(filter(None, (seen, "" if is_grouped else hit.video))),
        badge=KINDS[hit.kind],
        is_confirmed=hit.confirmed,
        start_at=hit.start_at,
        start_source=hit.start_source,
        verdict=verdict,
    )


_MOST_NAMED: Final = 5


def _observing(response: SearchResponse) -> Markup:
    """Return which videos are still looked at: more may be found in them later."""
    if not response.observing:
        return Markup("")
    names = ", ".join(item.video for item in response.observing[:_MOST_NAMED])
    if (rest := len(response.observing) - _MOST_NAMED) > 0:
        names = f"{names} and {rest} more"
    return Markup('<p class="faint">Still looked at, so that more may be found: {}</p>').format(
        names
    )


def _encoders(response: SearchResponse) -> Markup:
    names = " and ".join(encoder.name for encoder in response.encoders)
    lines = Markup("").join(
        Markup("<p><b>{}</b> {} {}{}</p>").format(
            encoder.name,
            encoder.knows,
            encoder.measured,
            f" Licence: {encoder.licence}." if encoder.licence else "",
        )
        for encoder in response.encoders
    )
    return Markup(
        '<details class="faint"><summary>Pictures were looked at by {}</summary>{}</details>'
    ).format(names, lines)
