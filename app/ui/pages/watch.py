"""Watch and ask: player and timeline, what was seen, and beside them the conversation."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gradio as gr

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.observations import observe_video
from app.api.videos import get_video
from app.schemas.observations import OverviewResponse
from app.schemas.videos import VideoItem
from app.services.jobs import cancel_job
from app.services.overview import show_overview
from app.ui.caller import EVENT, PASSIVE, REVISIT, as_sentences, require_reader, require_session
from app.ui.components.address import Address, read_query
from app.ui.components.player import Player, PlayerSpan, PlayerState
from app.ui.components.pulse import Pulse
from app.ui.components.timeline import Timeline
from app.ui.conversation import draw_starters
from app.ui.evidence import add_evidence
from app.ui.layout import line
from app.ui.markup import part
from app.ui.seen import ActionPanel, draw_seen, is_busy, list_rows
from app.ui.strip import draw_strip, marks_of, strip_stamp
from app.ui.talk import KeptTalk, TalkPanel, Update
from app.ui.video_picker import VideoPicker
from app.ui.video_status import GONE, NOTHING_YET, draw_title, is_being_read
from storage.records import VideoRow

BUSY_S: Final = 1.5
IDLE_S: Final = 10.0
_TIME: Final = re.compile(r"\d{1,7}(\.\d+)?", re.ASCII)


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    WatchPage(context).draw(blocks)


class WatchPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context
        self._talk = TalkPanel(context)

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        with line("watch-head"):
            self._title = gr.HTML(apply_default_css=False, elem_id="lw-title")
            self._picker = VideoPicker(
                self._context,
                label="Video",
                show_label=False,
                container=False,
                elem_id="lw-video",
                scale=0,
            )
        with line("watch") as self._stage:
            with gr.Column(elem_classes=["film"]):
                self._player = Player()
                self._strip = Timeline()
                add_evidence(self._context, self._player)
            with gr.Column(elem_classes=["side"]):
                self._talk.draw()
            with gr.Column(elem_classes=["seen-place"]):
                self._seen = ActionPanel(elem_id="lw-seen")
        # The id of the video, the chip that is open, and what the timeline was drawn from.
        self._video, self._chip, self._stamp = (gr.Textbox(visible=False) for _ in range(3))
        self._pulse, self._address = Pulse(IDLE_S), Address(keeps=("t",))
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        place = [self._title, self._picker.menu, self._stage, self._player, self._strip]
        state = [self._video, self._chip, self._stamp, self._pulse, self._address]
        shown = [*place, self._seen, *state, *self._talk.shown]
        blocks.load(self.visit, None, shown, **PASSIVE)
        self._address.revisit(self.revisit, None, shown, **REVISIT)
        self._picker.menu.input(self.choose, [self._picker.menu], shown, **EVENT)
        self._player.open(self.cross, None, shown, **EVENT)
        now = [self._video, self._chip]
        self._pulse.beat(self.follow, [*now, self._stamp], shown, **PASSIVE)
        self._seen.act(self.act_on_seen, now, shown, **EVENT)
        self._talk.kept.act(self.act_on_kept, None, shown, **EVENT)
        self._talk.head.anew(self.begin_anew, [self._video], shown, **EVENT)
        self._talk.chat.clear(self.begin_anew, [self._video], shown, **EVENT)
        for answered in self._talk.wire(self._video, self._address, shown):
            # An event of its own: the next question waits for the words alone.
            answered.then(self.show_evidence, [self._talk.key, self._video], shown, **EVENT)

    def visit(self, request: gr.Request) -> Update:
        """Show what the address says when the page is opened."""
        return self._show(dict(request.query_params), request)

    def revisit(self, event: gr.EventData, request: gr.Request) -> Update:
        """Show what the address says after the user went back."""
        return self._show(read_query(event.query), request)

    def choose(self, video: str, request: gr.Request) -> Update:
        """Open another video; the conversation stays."""
        return self._open(video, request)

    def cross(self, event: gr.EventData, request: gr.Request) -> Update:
        """Play a moment of another video; what N and P walk stays."""
        return self._open(
            event.video_id,
            request,
            time_s=float(event.start_s),
            end_s=float(event.end_s),
            spans=None,
        )

    def follow(self, video: str, chip: str, stamp: str, request: gr.Request) -> Update:
        """Show how far the reading and the observing of the video are."""
        if not video:
            return {self._pulse: IDLE_S}
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, video)
            overview = show_overview(self._context.services, video, access=principal)
            update = {
                self._title: part(draw_title(item)),
                self._player: PlayerState(video=item),
                **self._describe(principal, item, chip, overview),
            }
            if stamp == update[self._stamp]:
                return update
            return {**update, self._strip: draw_strip(self._context.services, principal, item)}

    def act_on_seen(
        self, video: str, chip: str, event: gr.EventData, request: gr.Request
    ) -> Update:
        """List the moments of a chip, or start, stop or repeat the observing."""
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, video)
            if event.action == "rows":
                return self._list_rows(principal, item, "" if event.key == chip else event.key)
            principal = require_session(request, admin=True)
            if event.action == "stop":
                cancel_job(self._context.services, int(event.key))
            else:
                observe_video(self._context, principal, video, again=event.action == "again")
            return self._describe(principal, item, chip)

    def act_on_kept(self, event: gr.EventData, request: gr.Request) -> Update:
        """Open or delete an earlier conversation."""
        if event.action == "delete":
            return self._talk.remove(event.key, request)
        with as_sentences(request):
            kept = self._talk.find(event.key, request)
        video = {"v": kept.video} if kept.video else {}
        return self._show({**video, "c": kept.key}, request)

    def begin_anew(self, video: str, request: gr.Request) -> Update:
        """Begin another conversation about the video."""
        return self._show({"v": video}, request)

    def show_evidence(self, key: str, video: str, request: gr.Request) -> Any:
        """Mark what the last answer rests on, and compare the video with the question."""
        if not key:
            return gr.skip()
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, video)
            kept = self._talk.find(key, request)
            return self._mark(principal, item, kept.spans, query=kept.query)

    def _show(self, state: Mapping[str, str], request: gr.Request) -> Update:
        """Return the page that an address describes."""
        with as_sentences(request):
            rows = self._context.videos(require_reader(request))
            if not rows:
                return self._bare(NOTHING_YET)
            wanted = state.get("v") or rows[-1].id
            if wanted not in {row.id for row in rows}:
                # Never other evidence in its place.
                return self._bare(GONE)
            kept = self._talk.find(state["c"], request) if state.get("c") else None
        time_s = float(state["t"]) if _TIME.fullmatch(state.get("t", "")) else 0.0
        return {
            **self._open(wanted, request, time_s=time_s, kept=kept),
            **self._talk.show(kept, "" if kept else state.get("q", ""), _several(state, rows)),
        }

    def _bare(self, words: str) -> Update:
        hidden = gr.update(visible=False)
        return {self._stage: hidden, self._picker.menu: hidden, self._title: words}

    def _open(
        self,
        video: str,
        request: gr.Request,
        *,
        time_s: float = 0.0,
        end_s: float | None = None,
        spans: tuple[PlayerSpan, ...] | None = (),
        kept: KeptTalk | None = None,
    ) -> Update:
        """Return everything that belongs to a video, at a time."""
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, video)
            address = {"v": item.video_id, "t": f"{time_s:.1f}" if time_s else ""}
            query = ""
            if kept is not None:
                spans, query, address["c"] = kept.spans, kept.query, kept.key
            state = PlayerState(video=item, time_s=time_s, end_s=end_s, spans=spans)
            marks = marks_of(spans or (), item.video_id)
            strip = draw_strip(self._context.services, principal, item, query)
            return {
                self._stage: gr.update(visible=True),
                self._title: part(draw_title(item)),
                self._picker.menu: self._picker.show(principal, item.video_id),
                self._player: state,
                self._strip: gr.update(value=strip, marks=marks),
                self._video: item.video_id,
                self._chip: "",
                self._address: address,
                **self._describe(principal, item, ""),
            }

    def _mark(
        self,
        principal: Principal,
        item: VideoItem,
        spans: Sequence[PlayerSpan],
        *,
        query: str = "",
        time_s: float | None = None,
    ) -> Update:
        """Return player and timeline with spans that stand out."""
        strip = draw_strip(self._context.services, principal, item, query)
        marks = marks_of(spans, item.video_id)
        return {
            self._player: PlayerState(video=item, spans=tuple(spans), time_s=time_s),
            self._strip: gr.update(value=strip, marks=marks),
        }

    def _describe(
        self,
        principal: Principal,
        item: VideoItem,
        chip: str,
        overview: OverviewResponse | None = None,
    ) -> Update:
        """Return what was seen in a video, and how soon to look again."""
        services = self._context.services
        if overview is None:
            overview = show_overview(services, item.video_id, access=principal)
        rows, _ = list_rows(services, principal, item, chip)
        is_moving = is_being_read(item) or is_busy(overview)
        n_observed = sum(observed.count for observed in overview.observed)
        return {
            self._seen: draw_seen(overview, item, rows, chip, is_admin=principal.is_admin),
            self._talk.starters: draw_starters(overview.questions, is_moving=is_busy(overview)),
            self._pulse: BUSY_S if is_moving else IDLE_S,
            self._stamp: strip_stamp(item, n_observed),
        }

    def _list_rows(self, principal: Principal, item: VideoItem, chip: str) -> Update:
        _, spans = list_rows(self._context.services, principal, item, chip)
        return {
            **self._describe(principal, item, chip),
            self._chip: chip,
            **self._mark(principal, item, spans, time_s=spans[0].start_s if spans else None),
        }


def _several(state: Mapping[str, str], rows: Sequence[VideoRow]) -> list[str]:
    """Return the videos that an address asks together, as far as they are there."""
    named = {row.id for row in rows}.intersection(state.get("in", "").split(","))
    return sorted(named) if len(named) > 1 else []
