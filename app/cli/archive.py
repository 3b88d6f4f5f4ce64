"""The command about an archive as a whole: reprocess."""

from typing import Annotated

import typer

from app.cli.common import (
    Cameras,
    Home,
    Json,
    Model,
    On,
    open_library,
    open_screen,
    tell_what_is_kept,
)
from app.errors import exit_code_of

cli = typer.Typer()


@cli.command()
def reprocess(
    videos: Annotated[
        list[str] | None, typer.Argument(help="ID or name of videos (default: all of the library).")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag; repeatable.")
    ] = None,
    camera: Cameras = None,
    latents: Annotated[
        bool, typer.Option("--latents", help="Read again what another model has read.")
    ] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Encode stills that an encoder has not seen.")
    ] = False,
    observers: Annotated[
        str | None,
        typer.Option("--observers", help="Observers with commas between them: objects,motion."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Observers begin anew: what they said before is deleted."),
    ] = False,
    on: On = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Make again what the settings would make otherwise: latents, vectors, observations.

    Without --latents, --vectors or --observers: all of it that is missing or another model's.
    """
    import app.cli.render_archive  # noqa: F401 - registers the table
    from app.services.reprocess import ReprocessOrder
    from app.worker.alerts import alerts_beside
    from app.worker.archive import reprocess as reprocess_archive

    names = tuple(name.strip() for name in (observers or "").split(",") if name.strip())
    if again and not names:
        raise typer.BadParameter("--again needs --observers")
    order = ReprocessOrder(latents=latents, vectors=vectors, observers=names, again=again)
    screen = open_screen(json=json)
    with (
        open_library(home, model=model) as context,
        alerts_beside(context),
        screen.progress() as progress,
        tell_what_is_kept(
            progress.say, lambda: "stopped; what is done is kept, the same command goes on there"
        ),
    ):
        document = reprocess_archive(
            context,
            order,
            videos or (),
            tags=tag or (),
            cameras=camera or (),
            on=on,
            report=progress.step,
        )
    screen.show(document)
    if document.failures:
        raise typer.Exit(exit_code_of(document.failures[0].code))
