"""Lists of what happens in a video, in step with its picture: chapters, words, things by time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from app.schemas.common import VideoSpan
from app.schemas.moments import MomentsResponse
from app.schemas.observations import ObservationItem
from app.services.access import FULL_ACCESS
from app.timefmt import format_clock
from app.ui.hints import web_hint
from app.ui.markup import NOTHING, part, span_text, still

LISTS: Final = (
    ("chapters", "Chapters"),
    ("words", "Transcript"),
    ("things", "Objects and people"),
)
"""Keys and names of the lists; a click on a line plays its moment."""
MOST_TIMES: Final = 40
"""Times of one thing; the timeline has them all."""


def draw_lists(document: MomentsResponse, rows: Sequence[ObservationItem], chosen: str) -> str:
    """Return the summary of a video, and one of its lists.

    Args:
        rows: What was observed in it.
        chosen: The key of the list.
    """
    draw: dict[str, Callable[[], Markup]] = {
        "chapters": lambda: _chapters(document),
        "words": lambda: _words(rows),
        "things": lambda: _things(rows),
    }
    tabs = Markup("").join(
        Markup(
            '<button type="button" class="chip" data-action="list" data-key="{}" '
            'aria-pressed="{}">{}</button>'
        ).format(key, "true" if key == chosen else "false", name)
        for key, name in LISTS
    )
    return part(
        Markup(
            '<section class="panel happenings" aria-label="What happens"><div class="pad">'
            '<p>{}</p><div class="row">{}</div></div>{}</section>'
        ).format(
            web_hint(document.summary, FULL_ACCESS), tabs, draw.get(chosen, draw["chapters"])()
        )
    )


def _chapters(document: MomentsResponse) -> Markup:
    if not document.moments:
        return _nothing("No chapter yet: they come with the observations.")
    return _lines(
        Markup('<li>{}{}<span><b>{}</b><span class="mono faint">{}</span></span></a></li>').format(
            _open(row),
            still(f"/media/{row.video_id}/frame.jpg?t={row.keyframe_s:.1f}&w=160"),
            row.title,
            _time(row),
        )
        for row in document.moments
    )


def _words(rows: Sequence[ObservationItem]) -> Markup:
    spoken = [row for row in rows if row.kind in {"speech", "text"}]
    if not spoken:
        return _nothing("Nothing was heard or read.")
    return _lines(
        Markup(
            '<li class="{}">{}<span class="mono faint">{}</span><span>{}</span></a></li>'
        ).format(row.kind, _open(row), format_clock(row.start_s), row.text)
        for row in spoken
    )


def _things(rows: Sequence[ObservationItem]) -> Markup:
    by_label: dict[str, list[ObservationItem]] = defaultdict(list)
    for row in rows:
        if row.kind == "object":
            by_label[row.label].append(row)
    if not by_label:
        return _nothing("No thing or person was recognised.")
    groups = sorted(by_label.items(), key=lambda group: -len(group[1]))
    return Markup('<dl class="things" data-follow tabindex="0">{}</dl>').format(
        Markup("").join(
            Markup('<dt>{} <span class="faint mono">{}</span></dt><dd>{}{}</dd>').format(
                label,
                len(seen),
                Markup("").join(map(_time_link, seen[:MOST_TIMES])),
                Markup('<span class="faint">and {} more</span>').format(len(seen) - MOST_TIMES)
                if len(seen) > MOST_TIMES
                else NOTHING,
            )
            for label, seen in groups
        )
    )


def _time_link(row: ObservationItem) -> Markup:
    title = " ".join([*row.colours[:1], row.label, row.heading]).strip()
    return Markup('<a class="shot time mono" href="{}" title="{}">{}</a>').format(
        _address(row), title, format_clock(row.start_s)
    )


def _lines(items: Iterable[Markup]) -> Markup:
    return Markup('<ol class="happening-lines" data-follow tabindex="0">{}</ol>').format(
        Markup("").join(items)
    )


def _open(row: VideoSpan) -> Markup:
    return Markup('<a class="shot line" href="{}">').format(_address(row))


def _address(row: VideoSpan) -> str:
    query = urlencode({"v": row.video_id, "t": row.start_s, "end": row.end_s})
    return f"/ui/watch?{query}"


def _time(row: VideoSpan) -> str:
    wall = f" · {row.start_at[11:19]}" if row.start_at else ""
    return f"{span_text(row.start_s, row.end_s)}{wall}"


def _nothing(words: str) -> Markup:
    return Markup('<p class="pad faint">{}</p>').format(words)
