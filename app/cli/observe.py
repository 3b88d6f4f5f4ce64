"""Commands about observations: look at a video, list what was seen and heard."""

from typing import Annotated

import typer

from app.cli.common import Home, Json, open_library, open_screen

cli = typer.Typer()


@cli.command()
def observe(
    video: Annotated[str, typer.Argument(help="ID or name of an ingested video.")],
    only: Annotated[
        str | None,
        typer.Option("--only", help="Observers with commas between them: objects,motion."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Begin anew: delete first what they said before.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Observe a video: things, movement, print and speech, each from where it stopped."""
    from app.worker.alerts import alerts_beside
    from app.worker.foreground import observe_now

    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    screen = open_screen(json=json)
    with open_library(home) as context, alerts_beside(context), screen.progress() as progress:
        try:
            document = observe_now(context, video, names, again=again, report=progress.step)
        except KeyboardInterrupt:
            progress.say("stopped; what was observed is kept, the same command goes on there")
            raise
    screen.show(document)


@cli.command()
def observations(
    video: Annotated[str, typer.Argument(help="ID or name of a video.")],
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="object, motion, text or speech; repeatable."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Label such as person; repeatable.")
    ] = None,
    find: Annotated[
        str | None, typer.Option("--find", help="Words that were read, said or seen, best first.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List what was observed in a video, with times."""
    from app.services.observations import list_observations

    with open_library(home) as context:
        document = list_observations(
            context, video, kinds=kind or (), labels=label or (), find=find
        )
    open_screen(json=json).show(document)
