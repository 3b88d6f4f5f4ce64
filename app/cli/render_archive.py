"""Archives that were made again, as a table."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.reprocess import ReprocessResponse
from app.timefmt import format_duration
from engine.plural import counted


@render.register
def _(document: ReprocessResponse) -> RenderableType:
    table = plain_table("video", "work", "state")
    for job in document.jobs:
        table.add_row(printable(job.video or ""), job.kind, job.state)
    lines = [
        f"{counted(document.videos, 'video')} looked at, {counted(len(document.jobs), 'job')} done "
        f"in {format_duration(document.wall_s)}"
    ]
    notes = [*(failure.message for failure in document.failures), *document.skipped]
    return Group(
        *([table] if document.jobs else []),
        *(Text(printable(line)) for line in lines),
        *(Text(printable(note), "yellow") for note in notes),
    )
