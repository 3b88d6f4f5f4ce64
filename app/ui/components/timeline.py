"""Moments on one axis of time: activity, lanes of what was observed, evidence, what is not read.

The lanes are drawn here, as SVG whose unit is a second; the script zooms by changing a view box.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from markupsafe import Markup

from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING

LaneKind = Literal["object", "motion", "text", "speech", "chapter", "footage", "alert"]
"""Colour and weight of a lane."""
HEIGHT: Final = 100
MOST_DRAWN: Final = 600
"""Pieces of a lane: about the pixels of a strip; nearer ones flow into each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSpan:
    """A stretch of a lane."""

    start_s: float
    end_s: float
    """On the axis, whose zero is that of the timeline."""
    label: str = ""
    """What stands beside the pointer."""
    video_id: str = ""
    """The video it is a part of, where that is not the timeline's own."""
    from_s: float | None = None
    """The second of that video that `start_s` is; `start_s` itself when `None`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineLane:
    """A row of spans below one name."""

    name: str
    kind: LaneKind
    spans: tuple[LaneSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityBar:
    """A stretch with how much moves in it, and how well it fits a question."""

    start_s: float
    end_s: float
    level: float
    """From 0 to 1, 1 being the liveliest of this video."""
    similarity: float = 0.0
    """From 0 to 1, relative to the other stretches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineState:
    """The value of `Timeline`."""

    duration_s: float
    """The length of the axis."""
    video_id: str = ""
    """The video whose seconds the axis counts; empty where each span names its own."""
    read_s: float | None = None
    """Where reading is; all of it is read when `None`."""
    start_at: str | None = None
    """The wall clock of second 0 (ISO 8601): the ruler then shows the time of day."""
    activity: tuple[ActivityBar, ...] = ()
    lanes: tuple[TimelineLane, ...] = ()
    view: tuple[float, float] | None = None
    """What is shown at first; all when `None`."""
    names: str = field(default="Timeline")
    """The timeline in a word, for those who do not see it."""


class Timeline(OwnComponent):
    """A timeline of a `TimelineState`: a click seeks, a drag marks, wheel and keys zoom.

    Beside a `Player` it seeks that, shows where it is, and shares its in and out points; with none
    the events say the same.

    Props: `marks`, a list of `[start_s, end_s]` that stand out, such as the evidence of an answer.

    Events: `pick`, with `video_id` and `time_s` in that video; `mark`, with `start_s` and `end_s`.
    """

    script = "timeline"
    triggers = ("pick", "mark")

    def __init__(
        self,
        value: TimelineState | None = None,
        *,
        marks: Sequence[tuple[float, float]] = (),
        **options: Any,
    ) -> None:
        """Show a timeline, or nothing yet."""
        options["marks"] = [list(mark) for mark in marks]
        super().__init__(value, **options)

    def postprocess(self, value: TimelineState | str | None) -> str:
        """Return the timeline as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        return str(_draw(value))


def _draw(state: TimelineState) -> Markup:
    end_s = max(state.duration_s, state.read_s or 0.0, 1.0)
    rows = [_activity(state, end_s)] if state.video_id else []
    rows += [_lane(lane, end_s, f"{HEIGHT / 10:g}") for lane in state.lanes]
    view = state.view or (0.0, end_s)
    return Markup(
        '<div class="lw part timeline" data-axis="{video} {at}" data-video="{video}" '
        'data-end="{end:.3f}" '
        'data-clock="{clock}" data-view="{first:.3f} {last:.3f}">'
        '<div class="tl-rows">{rows}<div class="tl-over" role="slider" tabindex="0" '
        'aria-label="{name}" aria-valuemin="0" aria-valuemax="{whole}" aria-valuenow="0">'
        '<div class="tl-marks"></div><i class="tl-chosen"></i><i class="tl-head"></i></div></div>'
        '<div class="tl-ruler" aria-hidden="true"></div>'
        '<div class="tl-peek" hidden><img alt="" width="160" height="90"><b></b><span></span></div>'
        '<div class="tl-tools">{legend}<span class="end">'
        '<button type="button" class="quiet" data-zoom="in">Zoom in</button>'
        '<button type="button" class="quiet" data-zoom="all">Show all</button>'
        "</span></div></div>"
    ).format(
        video=state.video_id,
        end=end_s,
        at=state.start_at or "",
        clock=_second_of_day(state.start_at),
        first=view[0],
        last=view[1],
        rows=Markup("").join(rows),
        name=state.names,
        whole=int(end_s),
        legend=_legend(state, end_s),
    )


def _second_of_day(at: str | None) -> str:
    """Return the second of its day of a moment in ISO 8601, as its digits say; empty for none."""
    if at is None:
        return ""
    hours, minutes, seconds = at[11:19].split(":")
    return str(3600 * int(hours) + 60 * int(minutes) + int(seconds))


def _svg(end_s: float, height: str, inside: Markup) -> Markup:
    return Markup(
        '<svg class="tl-plot" viewBox="0 0 {:.3f} {}" preserveAspectRatio="none" '
        'aria-hidden="true">{}</svg>'
    ).format(end_s, height, inside)


def _row(kind: str, name: str, plot: Markup) -> Markup:
    return Markup(
        '<div class="tl-row {}"><span class="tl-name" title="{}">{}</span>{}</div>'
    ).format(kind, name, name, plot)


def _activity(state: TimelineState, end_s: float) -> Markup:
    quiet = _bars(bar for bar in state.activity if bar.level <= _HOT)
    hot = _bars(bar for bar in state.activity if bar.level > _HOT)
    similar = Markup("").join(
        Markup('<rect x="{:.3f}" y="0" width="{:.3f}" height="9" opacity="{:.2f}"/>').format(
            bar.start_s, bar.end_s - bar.start_s, bar.similarity
        )
        for bar in state.activity
        if bar.similarity > _SIMILAR
    )
    unread = NOTHING
    if _is_unread(state, end_s):
        unread = Markup(
            '<rect class="tl-unread" x="{:.3f}" y="0" width="{:.3f}" height="100"/>'
        ).format(state.read_s, end_s - (state.read_s or 0.0))
    inside = Markup(
        '{}<path class="tl-quiet" d="{}"/><path class="tl-hot" d="{}"/><g class="tl-similar">{}</g>'
    ).format(unread, quiet, hot, similar)
    return _row("activity", "activity", _svg(end_s, str(HEIGHT), inside))


_HOT: Final = 0.5
_SIMILAR: Final = 0.1
_TOP: Final = 14
"""Room above the bars, for what is similar to a question."""


def _bars(bars: Iterable[ActivityBar]) -> str:
    parts = []
    for bar in bars:
        # The square root: what moves a little is seen beside what moves a lot.
        high = 3 + bar.level**0.5 * (HEIGHT - _TOP - 3)
        wide = (bar.end_s - bar.start_s) * 0.98
        parts.append(f"M{bar.start_s:.2f} {HEIGHT}v{-high:.1f}h{wide:.2f}v{high:.1f}z")
    return "".join(parts)


def _is_unread(state: TimelineState, end_s: float) -> bool:
    return state.read_s is not None and state.read_s < end_s - 0.5


def _lane(lane: TimelineLane, end_s: float, height: str) -> Markup:
    spans = _flowed(lane.spans, end_s / MOST_DRAWN)
    rects = Markup("").join(
        Markup(
            '<rect x="{:.3f}" y="1" width="{:.3f}" height="8" data-label="{}" data-video="{}" '
            'data-from="{:.3f}"/>'
        ).format(
            span.start_s,
            max(0.0, span.end_s - span.start_s),
            span.label,
            span.video_id,
            span.start_s if span.from_s is None else span.from_s,
        )
        for span in spans
    )
    return _row(f"lane {lane.kind}", lane.name, _svg(end_s, height, rects))


def _flowed(spans: Sequence[LaneSpan], gap_s: float) -> list[LaneSpan]:
    """Return spans with neighbours of one label and video, nearer than a gap, as one."""
    if len(spans) <= MOST_DRAWN:
        return list(spans)
    flowed: list[LaneSpan] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        last = flowed[-1] if flowed else None
        if (
            last is not None
            and (last.label, last.video_id) == (span.label, span.video_id)
            and span.start_s - last.end_s <= gap_s
        ):
            flowed[-1] = LaneSpan(
                start_s=last.start_s,
                end_s=max(last.end_s, span.end_s),
                label=last.label,
                video_id=last.video_id,
                from_s=last.from_s,
            )
        else:
            flowed.append(span)
    return flowed


def _legend(state: TimelineState, end_s: float) -> Markup:
    words = {"tl-cited": "marked"} if state.video_id else {}
    if any(bar.similarity > _SIMILAR for bar in state.activity):
        words["tl-alike"] = "similar to the question"
    if _is_unread(state, end_s):
        words["tl-later"] = "not read yet"
    return Markup("").join(
        Markup('<span class="{}"><i></i>{}</span>').format(kind, text)
        for kind, text in words.items()
    )
