"""The command about what happens: in a recording, or on a day, with times."""

from typing import Annotated

import typer

from app.cli.common import After, Before, Home, Json, open_library, open_screen, parse_bound

cli = typer.Typer()


@cli.command()
def moments(
    video: Annotated[
        str | None, typer.Argument(help="ID or name of an ingested video; of a day, any.")
    ] = None,
    after: After = None,
    before: Before = None,
    hours: Annotated[
        str | None, typer.Option("--hours", help="Hours of each day, as 22:00-06:00.")
    ] = None,
    day: Annotated[
        str | None,
        typer.Option(
            "--day",
            metavar="DATE",
            help="What was filmed and seen on a day, as 2026-03-01, in all videos or in this one.",
        ),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List the chapters of a video with titles, or a day of all videos by the wall clock."""
    import app.cli.render_moments  # noqa: F401 - registers the table
    from app.services.days import day_view
    from app.services.moments import list_moments

    if day is not None:
        if after or before or hours:
            raise typer.BadParameter("--day goes with none of --after, --before and --hours")
        with open_library(home) as context:
            seen = day_view(context, day, videos=[] if video is None else [video])
        open_screen(json=json).show(seen)
        return
    if video is None:
        raise typer.BadParameter("name a video, or a day with --day")
    start, end = parse_bound(after), parse_bound(before)
    with open_library(home) as context:
        document = list_moments(context, video, after=start, before=end, hours=hours)
    open_screen(json=json).show(document)
