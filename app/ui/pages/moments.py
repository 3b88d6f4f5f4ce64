"""Moments: days on the wall clock, and what happens in a video in step with its picture."""

import re
from collections.abc import Mapping
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.videos import get_video
from app.schemas.videos import VideoItem
from app.services.days import day_view, list_days
from app.services.moments import list_moments
from app.services.observations import list_observations
from app.services.overview import show_overview
from app.ui.caller import EVENT, PASSIVE, as_sentences, require_reader
from app.ui.chapter_lists import LISTS, draw_lists
from app.ui.components.address import Address, read_query
from app.ui.components.player import Player, PlayerSpan, PlayerState
from app.ui.components.pulse import Pulse
from app.ui.components.table import Table
from app.ui.components.timeline import Timeline
from app.ui.day import compare_days, draw_calendar, draw_day, draw_day_head, name_day
from app.ui.evidence import add_evidence
from app.ui.layout import line
from app.ui.markup import heading, part, problem
from app.ui.seen import ActionPanel, is_busy, is_read
from app.ui.strip import draw_strip, strip_stamp
from app.ui.video_picker import VideoPicker
from app.ui.video_status import GONE, NOTHING_YET, is_being_read
from engine.errors import NotFoundError

BUSY_S: Final = 2.0
IDLE_S: Final = 10.0
"""Between two looks at a video, while it is being read or observed, and else."""
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"\d{1,7}(\.\d+)?", re.ASCII)
_UNREAD: Final = "Nothing of this video has been read yet; its moments appear as it is."
_KEYS: Final = tuple(key for key, _ in LISTS)

Update = dict[Any, object]


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    MomentsPage(context).draw(blocks)


class MomentsPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        with line("watch-head"):
            self._title = gr.HTML(heading("Moments"), apply_default_css=False, elem_id="lw-title")
            self._picker = VideoPicker(
                self._context,
                label="Video",
                show_label=False,
                container=False,
                elem_id="lw-video",
                scale=0,
            )
        with line("days", visible=False) as self._days:
            self._calendar = ActionPanel(elem_id="lw-calendar")
            with gr.Column(elem_classes=["day"]):
                self._head = ActionPanel(elem_id="lw-day")
                self._lanes = Timeline(elem_id="lw-lanes")
                self._other = gr.Dropdown(
                    [], label="Compare with", visible=False, elem_id="lw-other-day"
                )
                self._other_lanes = Timeline(elem_id="lw-other-lanes")
                self._compared = Table(elem_id="lw-compared")
        with line("moments", visible=False) as self._stage:
            with gr.Column(elem_classes=["film"]):
                self._player = Player()
                self._strip = Timeline(elem_id="lw-strip")
                add_evidence(self._context, self._player)
            with gr.Column(elem_classes=["lists"]):
                self._lists = ActionPanel(elem_id="lw-lists")
        # The video, its day, the month of the calendar, and the list that is open.
        self._video, self._day, self._month, self._list = (
            gr.Textbox(visible=False) for _ in range(4)
        )
        # What the page was drawn from, to be told when it changes.
        self._stamp = gr.Textbox(visible=False)
        self._pulse, self._address = Pulse(IDLE_S), Address(keeps=("t",))
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        place = [self._title, self._picker.menu, self._days, self._calendar, self._head]
        place += [
            self._lanes,
            self._other,
            self._other_lanes,
            self._compared,
            self._stage,
            self._player,
            self._strip,
            self._lists,
        ]
        shown = [*place, self._video, self._day, self._month, self._list, self._address]
        shown += [self._stamp, self._pulse]
        now = [self._video, self._day, self._list, self._other]
        blocks.load(self.visit, None, shown, **PASSIVE)
        self._address.revisit(self.revisit, None, shown, **EVENT)
        chosen = [self._picker.menu, self._list, self._other]
        self._picker.menu.input(self.choose, chosen, shown, **EVENT)
        self._calendar.act(self.turn, now, shown, **EVENT)
        self._head.act(self.turn, now, shown, **EVENT)
        self._lanes.pick(self.open_moment, now, shown, **EVENT)
        self._other_lanes.pick(self.open_moment, now, shown, **EVENT)
        self._other.input(self.compare, now, shown, **EVENT)
        self._player.open(self.cross, [self._list], shown, **EVENT)
        self._lists.act(self.list_moments_of, now, shown, **EVENT)
        self._pulse.beat(self.follow, [*now, self._month, self._stamp], shown, **PASSIVE)

    def visit(self, request: gr.Request) -> Update:
        """Show what the address says when the page is opened."""
        return self._show(dict(request.query_params), request)

    def revisit(self, event: gr.EventData, request: gr.Request) -> Update:
        """Show what the address says after the user went back."""
        return self._show(read_query(event.query), request)

    def choose(self, video: str, chosen: str, other: str, request: gr.Request) -> Update:
        """Show another video, and its day."""
        return self._show({"v": video, "list": chosen, "with": other}, request)

    def follow(
        self,
        video: str,
        day: str,
        chosen: str,
        other: str,
        month: str,
        stamp: str,
        request: gr.Request,
    ) -> Update:
        """Show what has been read and observed meanwhile."""
        if not video:
            return {self._pulse: IDLE_S}
        with as_sentences(request):
            principal = require_reader(request)
            try:
                item = get_video(self._context, principal, video)
            except NotFoundError:
                return self._bare(GONE)
            followed = self._follow(principal, item)
            if followed[self._stamp] == stamp:
                return followed
            lists, spans = self._happenings(principal, item, chosen)
            update: Update = {
                **followed,
                self._player: PlayerState(video=item, spans=spans),
                self._strip: draw_strip(self._context.services, principal, item),
                self._lists: lists,
            }
            if day:
                update |= self._show_day(principal, day, other, month)
                update[self._days] = gr.update(visible=True)
            return update

    def turn(
        self,
        video: str,
        day: str,
        chosen: str,
        other: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Update:
        """Show another day, or another month of the calendar."""
        with as_sentences(request):
            principal = require_reader(request)
            if event.action == "month":
                return self._turn_to(principal, event.key, day)
            return {
                **self._show_day(principal, event.key, other),
                self._address: _address(event.key, other, video, chosen),
            }

    def compare(self, video: str, day: str, chosen: str, other: str, request: gr.Request) -> Update:
        """Show another day beside the one that is open, or none any more."""
        with as_sentences(request):
            return {
                **self._show_day(require_reader(request), day, other),
                self._address: _address(day, other, video, chosen),
            }

    def open_moment(
        self,
        video: str,
        day: str,
        chosen: str,
        other: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Update:
        """Play a moment of the day."""
        with as_sentences(request):
            principal = require_reader(request)
            time_s = float(event.time_s)
            if event.video_id == video:
                item = get_video(self._context, principal, video)
                return {self._player: PlayerState(video=item, time_s=time_s)}
            return {
                **self._open(principal, event.video_id, time_s, chosen),
                self._address: _address(day, other, event.video_id, chosen),
            }

    def cross(self, chosen: str, event: gr.EventData, request: gr.Request) -> Update:
        """Play a moment of another video."""
        with as_sentences(request):
            principal = require_reader(request)
            return self._open(principal, event.video_id, float(event.start_s), chosen)

    def list_moments_of(
        self,
        video: str,
        day: str,
        chosen: str,
        other: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Update:
        """Show another list."""
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, video)
            lists, _ = self._happenings(principal, item, event.key)
            return {
                self._lists: lists,
                self._list: event.key,
                self._address: _address(day, other, video, event.key),
            }

    def _show(self, state: Mapping[str, str], request: gr.Request) -> Update:
        """Return the page that an address describes."""
        with as_sentences(request):
            principal = require_reader(request)
            rows = self._context.videos(principal)
            if not rows:
                return self._bare(NOTHING_YET.replace("Watch and ask", "Moments"))
            days = list_days(self._context.services, access=principal).days
            day, other, video = (state.get(name, "") for name in ("day", "with", "v"))
            for text in filter(None, (day, other)):
                if not _DAY.fullmatch(text):
                    words = problem(f"{text[:40]} is no day", "A day is written as 2026-03-01.")
                    return self._bare(heading("Moments") + part(words))
            if video and video not in {row.id for row in rows}:
                return self._bare(GONE)
            if not day and not video:
                # The latest day, where there are days: else the latest video.
                day, video = (days[-1].date, "") if days else ("", str(rows[-1].id))
            if not day:
                start_at = get_video(self._context, principal, video).start_at
                day = start_at[:10] if start_at else ""
            update: Update = {self._address: {**state, "day": day, "v": video}}
            update |= {self._days: gr.update(visible=bool(days)), self._title: heading("Moments")}
            if days:
                update |= self._show_day(principal, day or days[-1].date, other)
            if not video:
                video = self._first_of(principal, day)
            if not video:
                return {
                    **update,
                    self._stage: gr.update(visible=False),
                    self._picker.menu: (self._picker.show(principal, None)),
                }
            time_s = float(state["t"]) if _TIME.fullmatch(state.get("t", "")) else 0.0
            chosen = state.get("list", "")
            return {**update, **self._open(principal, video, time_s, chosen)}

    def _bare(self, words: str) -> Update:
        hidden = gr.update(visible=False)
        return {
            self._title: words,
            self._days: hidden,
            self._stage: hidden,
            self._picker.menu: hidden,
        }

    def _first_of(self, principal: Principal, day: str) -> str:
        lanes = day_view(self._context.services, day, access=principal).lanes
        return lanes[0].stretches[0].video_id if lanes else ""

    def _follow(self, principal: Principal, item: VideoItem) -> Update:
        """Return how soon to look at a video again, and what would then have changed."""
        overview = show_overview(self._context.services, item.video_id, access=principal)
        is_moving = is_being_read(item) or is_busy(overview)
        n_observed = sum(observed.count for observed in overview.observed)
        return {
            self._pulse: BUSY_S if is_moving else IDLE_S,
            self._stamp: strip_stamp(item, n_observed),
        }

    def _show_day(self, principal: Principal, day: str, other: str = "", month: str = "") -> Update:
        """Return a day with its lanes, the month that it is in, and a day beside it, if any."""
        services = self._context.services
        document = day_view(services, day, access=principal)
        days = list_days(services, access=principal).days
        names = [(name_day(item.date), item.date) for item in reversed(days) if item.date != day]
        if other == day:
            other = ""
        beside = day_view(services, other, access=principal) if other else None
        if beside and beside.date not in {date for _, date in names}:
            # Nothing was filmed then, which is an answer too.
            names.append((name_day(beside.date), beside.date))
        return {
            self._head: draw_day_head(document, days),
            self._lanes: draw_day(document, beside),
            self._day: document.date,
            self._other: gr.update(
                choices=[("no other day", ""), *names], value=other, visible=bool(names)
            ),
            self._other_lanes: draw_day(beside, document) if beside else "",
            self._compared: compare_days(document, beside) if beside else "",
            **self._turn_to(principal, month or document.date[:7], document.date),
        }

    def _turn_to(self, principal: Principal, month: str, day: str) -> Update:
        days = list_days(self._context.services, month, access=principal).days
        return {
            self._calendar: draw_calendar(month, {item.date: item for item in days}, day),
            self._month: month,
        }

    def _open(self, principal: Principal, video: str, time_s: float, chosen: str) -> Update:
        """Return a video at a time, with one of its lists."""
        try:
            item = get_video(self._context, principal, video)
        except NotFoundError:
            return self._bare(GONE)
        chosen = chosen if chosen in _KEYS else _KEYS[0]
        lists, spans = self._happenings(principal, item, chosen)
        return {
            self._stage: gr.update(visible=True),
            self._picker.menu: self._picker.show(principal, item.video_id),
            self._video: item.video_id,
            self._player: PlayerState(video=item, time_s=time_s, spans=spans),
            self._strip: draw_strip(self._context.services, principal, item),
            self._lists: lists,
            self._list: chosen,
            **self._follow(principal, item),
        }

    def _happenings(
        self, principal: Principal, item: VideoItem, chosen: str
    ) -> tuple[str, tuple[PlayerSpan, ...]]:
        """Return a list of what happens in a video, and its chapters as N and P walk them."""
        if not is_read(item):
            return part(Markup('<p class="panel pad faint">{}</p>').format(_UNREAD)), ()
        services = self._context.services
        document = list_moments(services, item.video_id, access=principal)
        rows = list_observations(services, item.video_id, access=principal).observations
        spans = tuple(
            PlayerSpan(video_id=row.video_id, start_s=row.start_s, end_s=row.end_s)
            for row in document.moments
        )
        return draw_lists(document, rows, chosen), spans


def _address(day: str, other: str, video: str, chosen: str) -> dict[str, str]:
    """Return the address of what is shown."""
    return {"day": day, "with": other, "v": video, "list": chosen}
