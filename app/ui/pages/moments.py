"""Moments: days on the wall clock, and what happens in a video in step with its picture."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.videos import get_video
from app.schemas.days import DayResponse
from app.schemas.videos import VideoItem
from app.services.days import day_view, list_days, parse_date
from app.services.moments import list_moments
from app.services.observations import list_observations
from app.services.overview import show_overview
from app.ui.caller import EVENT, PASSIVE, REVISIT, as_sentences, require_reader
from app.ui.chapter_lists import LISTS, draw_lists
from app.ui.components.address import Address, read_query
from app.ui.components.player import Player, PlayerSpan, PlayerState
from app.ui.components.pulse import Pulse
from app.ui.components.table import Table
from app.ui.components.timeline import Timeline
from app.ui.day import draw_calendar, draw_comparison, draw_day, draw_day_head, name_day
from app.ui.evidence import add_evidence
from app.ui.layout import line
from app.ui.markup import heading, part, problem
from app.ui.seen import ActionPanel, is_busy, is_read
from app.ui.strip import draw_strip, strip_stamp
from app.ui.video_picker import VideoPicker
from app.ui.video_status import GONE, NOTHING_YET, is_being_read
from engine.errors import InputRefusedError, NotFoundError

BUSY_S: Final = 2.0
IDLE_S: Final = 10.0
"""Between two looks at a video, while it is being read or observed, and else."""
_TIME: Final = re.compile(r"\d{1,7}(\.\d+)?", re.ASCII)
_UNREAD: Final = "Nothing of this video has been read yet; its moments appear as it is."
_KEYS: Final = tuple(key for key, _ in LISTS)

Update = dict[Any, object]
Values = Mapping[Any, Any]
"""Components with what they hold."""


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    MomentsPage(context).draw(blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the page shows; a field that is empty names nothing."""

    video: str
    day: str
    other: str
    """The day beside it."""
    night: bool
    """Whether nights are shown, from noon to noon."""
    chosen: str
    """The list that is open."""

    def address(self) -> dict[str, str]:
        """Return the fields of the query string."""
        return {
            "day": self.day,
            "with": self.other,
            "night": "1" if self.night else "",
            "v": self.video,
            "list": self.chosen,
        }


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
                with line():
                    self._other = gr.Dropdown(
                        [], label="Compare with", visible=False, elem_id="lw-other-day"
                    )
                    self._night = gr.Checkbox(
                        label="Night, from noon to noon", container=False, elem_id="lw-night"
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
            self._night,
            self._other_lanes,
            self._compared,
            self._stage,
            self._player,
            self._strip,
            self._lists,
        ]
        shown = [*place, self._video, self._day, self._month, self._list, self._address]
        shown += [self._stamp, self._pulse]
        now: set[Any] = {self._video, self._day, self._list, self._other, self._month, self._stamp}
        now.add(self._night)
        blocks.load(self.visit, None, shown, **PASSIVE)
        self._address.revisit(self.revisit, None, shown, **REVISIT)
        self._picker.menu.input(self.choose, now | {self._picker.menu}, shown, **EVENT)
        self._calendar.act(self.turn, now, shown, **EVENT)
        self._head.act(self.turn, now, shown, **EVENT)
        self._lanes.pick(self.open_moment, now, shown, **EVENT)
        self._other_lanes.pick(self.open_moment, now, shown, **EVENT)
        self._other.input(self.compare, now, shown, **EVENT)
        self._night.input(self.compare, now, shown, **EVENT)
        self._player.open(self.cross, now, shown, **EVENT)
        self._lists.act(self.list_moments_of, now, shown, **EVENT)
        self._pulse.beat(self.follow, now, shown, **PASSIVE)

    def _read(self, values: Values) -> _Place:
        return _Place(
            video=values[self._video] or "",
            day=values[self._day] or "",
            other=values[self._other] or "",
            night=bool(values[self._night]),
            chosen=values[self._list] or "",
        )

    def visit(self, request: gr.Request) -> Update:
        """Show what the address says when the page is opened."""
        return self._show(dict(request.query_params), request)

    def revisit(self, event: gr.EventData, request: gr.Request) -> Update:
        """Show what the address says after the user went back."""
        return self._show(read_query(event.query), request)

    def choose(self, values: Values, request: gr.Request) -> Update:
        """Show another video, and its day."""
        place = replace(self._read(values), video=values[self._picker.menu], day="")
        return self._show(place.address(), request)

    def follow(self, values: Values, request: gr.Request) -> Update:
        """Show what has been read and observed meanwhile."""
        place = self._read(values)
        if not place.video:
            return {self._pulse: IDLE_S}
        with as_sentences(request):
            principal = require_reader(request)
            try:
                item = get_video(self._context, principal, place.video)
            except NotFoundError:
                return self._bare(GONE)
            followed = self._follow(principal, item)
            if followed[self._stamp] == values[self._stamp]:
                return followed
            lists, spans = self._happenings(principal, item, place.chosen)
            update: Update = {
                **followed,
                self._player: PlayerState(video=item, spans=spans),
                self._strip: draw_strip(self._context.services, principal, item),
                self._lists: lists,
            }
            if place.day:
                update |= self._show_day(principal, place, values[self._month])
                update[self._days] = gr.update(visible=True)
            return update

    def turn(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Show another day, or another month of the calendar."""
        place = self._read(values)
        with as_sentences(request):
            principal = require_reader(request)
            if event.action == "month":
                return self._turn_to(principal, event.key, place)
            return self._go_to(principal, replace(place, day=event.key))

    def compare(self, values: Values, request: gr.Request) -> Update:
        """Show another day beside the one that is open, or none; days or nights."""
        with as_sentences(request):
            return self._go_to(require_reader(request), self._read(values))

    def open_moment(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Play a moment of the day."""
        place = self._read(values)
        with as_sentences(request):
            principal = require_reader(request)
            time_s = float(event.time_s)
            if event.video_id == place.video:
                item = get_video(self._context, principal, place.video)
                return {self._player: PlayerState(video=item, time_s=time_s)}
            place = replace(place, video=event.video_id)
            return {
                **self._open(principal, place.video, time_s, place.chosen),
                self._address: place.address(),
            }

    def cross(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Play a moment of another video."""
        chosen = self._read(values).chosen
        with as_sentences(request):
            principal = require_reader(request)
            return self._open(principal, event.video_id, float(event.start_s), chosen)

    def list_moments_of(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Show another list."""
        place = replace(self._read(values), chosen=event.key)
        with as_sentences(request):
            principal = require_reader(request)
            item = get_video(self._context, principal, place.video)
            lists, _ = self._happenings(principal, item, place.chosen)
            return {self._lists: lists, self._list: place.chosen, self._address: place.address()}

    def _show(self, state: Mapping[str, str], request: gr.Request) -> Update:
        """Return the page that an address describes."""
        with as_sentences(request):
            principal = require_reader(request)
            rows = self._context.videos(principal)
            if not rows:
                return self._bare(NOTHING_YET.replace("Watch and ask", "Moments"))
            day, other, video = (state.get(name, "") for name in ("day", "with", "v"))
            night = bool(state.get("night"))
            days = list_days(self._context.services, night=night, access=principal).days
            for text in filter(None, (day, other)):
                try:
                    parse_date(text)
                except InputRefusedError:
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
            place = _Place(video=video, day=day, other=other, night=night, chosen="")
            if days:
                update |= self._show_day(principal, replace(place, day=day or days[-1].date))
            if not video:
                video = self._first_of(principal, place)
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

    def _first_of(self, principal: Principal, place: _Place) -> str:
        lanes = self._day_of(principal, place.day, place.night).lanes
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

    def _day_of(self, principal: Principal, day: str, night: bool) -> DayResponse:
        return day_view(self._context.services, day, night=night, access=principal)

    def _show_day(self, principal: Principal, place: _Place, month: str = "") -> Update:
        """Return a day with its lanes, the month that it is in, and a day beside it, if any."""
        day, other = place.day, place.other
        document = self._day_of(principal, day, place.night)
        days = list_days(self._context.services, night=place.night, access=principal).days
        names = [(name_day(item.date), item.date) for item in reversed(days) if item.date != day]
        if other == day:
            other = ""
        beside = self._day_of(principal, other, place.night) if other else None
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
            self._night: place.night,
            self._other_lanes: draw_day(beside, document) if beside else "",
            self._compared: draw_comparison(document, beside) if beside else "",
            **self._turn_to(principal, month or document.date[:7], place),
        }

    def _go_to(self, principal: Principal, place: _Place) -> Update:
        """Return the days of a place, and its address."""
        days = self._show_day(principal, place)
        return {**days, self._address: place.address()}

    def _turn_to(self, principal: Principal, month: str, place: _Place) -> Update:
        services = self._context.services
        days = list_days(services, month, night=place.night, access=principal).days
        return {
            self._calendar: draw_calendar(month, {item.date: item for item in days}, place.day),
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
