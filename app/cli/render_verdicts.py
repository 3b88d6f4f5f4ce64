"""Verdicts as a table: registered with `render` when the command that shows them runs."""

from rich.console import RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.verdicts import VerdictsResponse


@render.register
def _(document: VerdictsResponse) -> RenderableType:
    if not document.verdicts:
        return Text("No moment was confirmed or rejected yet.")
    table = plain_table("verdict", "asked", "video", "from", "to", "by")
    for item in document.verdicts:
        table.add_row(
            item.verdict,
            Text(printable(item.query)),
            Text(printable(item.video)),
            item.start,
            item.end,
            Text(printable(item.account or "")),
        )
    return table
