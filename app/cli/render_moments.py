"""Chapters and days as tables: registered with `render` when the command that shows them runs."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.days import ComparedDaysResponse, DayEvent, DayResponse, DayStretch
from app.schemas.moments import MomentsResponse
from app.timefmt import clock_text, format_duration


@render.register
def _(document: MomentsResponse) -> RenderableType:
    table = plain_table("from", "to", "found")
    for moment in document.moments:
        table.add_row(moment.start, moment.end, Text(printable(moment.title)))
    return Group(Text(printable(document.summary)), table)


@render.register
def _(document: DayResponse) -> RenderableType:
    if not document.lanes:
        return Text(f"Nothing was filmed on {document.date}, as far as videos have a wall clock.")
    table = plain_table("from", "to", "video", "found")
    for lane in document.lanes:
        rows = sorted([*lane.stretches, *lane.events], key=lambda row: row.clock_s)
        for row in rows:
            table.add_row(
                clock_text(row.start_at or "")[11:],
                clock_text(row.end_at or "")[11:],
                Text(printable(row.video)),
                Text(printable(_found(row))),
            )
    filmed = format_duration(document.filmed_s)
    return Group(Text(f"{document.date}: {filmed} of footage"), table)


@render.register
def _(document: ComparedDaysResponse) -> RenderableType:
    table = plain_table("source", "what", *document.dates)
    for source in document.sources:
        name = Text(printable(source.name))
        table.add_row(name, "filmed", *map(format_duration, source.filmed_s))
        for row in source.seen:
            table.add_row(name, Text(printable(row.what)), *map(str, row.counts))
    return table


def _found(row: DayStretch) -> str:
    if not isinstance(row, DayEvent):
        return "filmed"
    words = f"“{row.text}”" if row.text else row.label
    return f"{words} ({row.count} times)" if row.count > 1 else words
