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
    beside: Annotated[
        str | None,
        typer.Option("--beside", metavar="DATE", help="Another day to compare --day with."),
    ] = None,
    night: Annotated[
        bool, typer.Option("--night", help="The night that begins on --day, from noon to noon.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """List the chapters of a video with titles, or a day of all videos by the wall clock."""
    import app.cli.render_moments  # noqa: F401 - registers the table
    from app.services.days import compare_days, day_view
    from app.services.moments import list_moments

    if day is not None:
        if after or before or hours:
            raise typer.BadParameter("--day goes with none of --after, --before and --hours")
        videos = [] if video is None else [video]
        with open_library(home) as context:
            seen = day_view(context, day, videos=videos, night=night)
            other = (
                None if beside is None else day_view(context, beside, videos=videos, night=night)
            )
        open_screen(json=json).show(seen if other is None else compare_days(seen, other))
        return
    if night or beside is not None:
        raise typer.BadParameter("--night and --beside go with --day")
    if video is None:
        raise typer.BadParameter("name a video, or a day with --day")
    start, end = parse_bound(after), parse_bound(before)
    with open_library(home) as context:
        document = list_moments(context, video, after=start, before=end, hours=hours)
    open_screen(json=json).show(document)
