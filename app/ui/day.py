"""A calendar of days with footage, and one day as a timeline with a lane for each source."""

import calendar
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from markupsafe import Markup

from app.schemas.days import DayEvent, DayItem, DayResponse, DayStretch
from app.services.days import compare_days
from app.timefmt import format_duration
from app.ui.components.table import TableData, TableRow
from app.ui.components.timeline import LaneKind, LaneSpan, TimelineLane, TimelineState
from app.ui.markup import NOTHING, icon, part
from app.ui.strip import LABEL_CHARS

DAY_S: Final = 86_400.0
_ROOM: Final = 0.06
"""Free share at both ends of what is shown at first."""
_LEAST_S: Final = 600.0
"""The least that is shown at first: seconds of footage lie in a day, not in a minute."""
_WEEKDAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_MONTHS: Final = calendar.month_name
_LANES: Final[Mapping[LaneKind, str]] = {
    "object": "seen",
    "motion": "movement",
    "text": "print",
    "speech": "speech",
}


def draw_calendar(month: str, days: Mapping[str, DayItem], chosen: str) -> str:
    """Return a month: days with footage are buttons.

    Args:
        month: As `2026-03`.
        days: Those with footage, by their date.
        chosen: The day that is open.
    """
    year, number = (int(piece) for piece in month.split("-"))
    weeks = calendar.Calendar().monthdatescalendar(year, number)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                _day(day, days.get(day.isoformat()), chosen)
                if day.month == number
                else Markup("<td></td>")
                for day in week
            )
        )
        for week in weeks
    )
    heads = Markup("").join(Markup('<th scope="col">{}</th>').format(day) for day in _WEEKDAYS)
    return part(
        Markup(
            '<section class="panel calendar" aria-label="Days with footage"><div class="title">'
            '{before}<h2 aria-live="polite">{name} {year}</h2>{after}</div>'
            "<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></section>"
        ).format(
            before=_month_button(year, number - 1, "left", "Earlier month"),
            after=_month_button(year, number + 1, "right", "Later month"),
            name=_MONTHS[number],
            year=year,
            heads=heads,
            body=body,
        )
    )


def draw_day_head(day: DayResponse, days: Sequence[DayItem]) -> str:
    """Return the name of a day, how much was filmed, and ways to its neighbours with footage."""
    dates = [item.date for item in days]
    before = max((item for item in dates if item < day.date), default="")
    after = min((item for item in dates if item > day.date), default="")
    count = len({stretch.video_id for lane in day.lanes for stretch in lane.stretches})
    words = "Nothing was filmed" if not count else format_duration(day.filmed_s)
    beside = f" in {count} video{'' if count == 1 else 's'}" if count else " with a wall clock"
    return part(
        Markup(
            '<div class="row day-head">{}<h2>{}{}</h2>{}<span class="faint">{}{}</span></div>'
        ).format(
            _step(before, "left", "Earlier day"),
            "Night of " if day.is_night else "",
            name_day(day.date),
            _step(after, "right", "Later day"),
            words,
            beside,
        )
    )


def name_day(day: str) -> str:
    """Return a day as people write it, such as `Sunday 1 March 2026`."""
    at = date.fromisoformat(day)
    return f"{at:%A} {at.day} {_MONTHS[at.month]} {at.year}"


def draw_day(day: DayResponse, beside: DayResponse | None = None) -> TimelineState:
    """Return a day as a timeline, near enough to see its footage.

    Args:
        beside: A day that is shown with the same hours.
    """
    lanes: list[TimelineLane] = []
    for lane in day.lanes:
        spans = tuple(_span(stretch, stretch.video) for stretch in lane.stretches)
        lanes.append(TimelineLane(name=lane.name, kind="footage", spans=spans))
        for kind, name in _LANES.items():
            events = tuple(_span(row, _label(row)) for row in lane.events if row.kind == kind)
            if events:
                lanes.append(TimelineLane(name=name, kind=kind, spans=events))
    return TimelineState(
        duration_s=DAY_S,
        start_at=f"{day.date}T{12 if day.is_night else 0:02}:00:00",
        lanes=tuple(lanes),
        view=_view(day, *filter(None, [beside])),
        names=f"Timeline of {day.date}",
    )


def draw_comparison(day: DayResponse, other: DayResponse) -> TableData:
    """Return what was filmed and how often what was seen on two days, source by source."""
    rows: list[tuple[str, ...]] = []
    for source in compare_days(day, other).sources:
        filmed = (format_duration(seconds) if seconds else "nothing" for seconds in source.filmed_s)
        rows.append((source.name, "filmed", *filmed))
        rows += [(source.name, row.what, *map(str, row.counts)) for row in source.seen]
    return TableData(
        title=f"{name_day(day.date)} beside {name_day(other.date)}",
        columns=("Source", "What", *(_short(both.date) for both in (day, other))),
        rows=tuple(TableRow(key=f"{row[0]} {row[1]}", cells=row) for row in rows),
    )


def _short(day: str) -> str:
    at = date.fromisoformat(day)
    return f"{at:%a} {at.day} {_MONTHS[at.month][:3]}"


def _view(*days: DayResponse) -> tuple[float, float]:
    stretches = [stretch for day in days for lane in day.lanes for stretch in lane.stretches]
    if not stretches:
        return 0.0, DAY_S
    first = min(stretch.clock_s for stretch in stretches)
    last = max(stretch.clock_s + stretch.end_s - stretch.start_s for stretch in stretches)
    room = max(_ROOM * (last - first), (_LEAST_S - (last - first)) / 2)
    return max(0.0, first - room), min(DAY_S, last + room)


def _span(row: DayStretch, label: str) -> LaneSpan:
    return LaneSpan(
        start_s=row.clock_s,
        end_s=row.clock_s + row.end_s - row.start_s,
        label=label,
        video_id=row.video_id,
        from_s=row.start_s,
    )


def _label(row: DayEvent) -> str:
    words = f"“{row.text[:LABEL_CHARS]}”" if row.text else row.label
    return f"{words} ({row.count} times)" if row.count > 1 else words


def _day(day: date, item: DayItem | None, chosen: str) -> Markup:
    if item is None:
        return Markup('<td><span class="faint">{}</span></td>').format(day.day)
    words = f"{day.day} {_MONTHS[day.month]}: {format_duration(item.filmed_s)}"
    return Markup(
        '<td><button type="button" class="quiet" data-action="day" data-key="{}" title="{}" '
        'aria-label="{}" aria-pressed="{}">{}</button></td>'
    ).format(item.date, words, words, "true" if item.date == chosen else "false", day.day)


def _month_button(year: int, month: int, shape: str, label: str) -> Markup:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return _button("month", f"{year:04d}-{month:02d}", shape, label)


def _step(day: str, shape: str, label: str) -> Markup:
    return _button("day", day, shape, label) if day else NOTHING


def _button(action: str, key: str, shape: str, label: str) -> Markup:
    return Markup(
        '<button type="button" class="quiet icon" data-action="{}" data-key="{}" aria-label="{}">'
        "{}</button>"
    ).format(action, key, label, icon(shape))
