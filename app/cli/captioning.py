"""Commands that describe videos for others: recaption."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import Home, Json, Model, numbers, open_library, open_screen

cli = typer.Typer()


@cli.command()
def recaption(
    videos: Annotated[
        list[str], typer.Argument(help="Files and folders.", metavar="VIDEO_OR_FOLDER")
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder to write the captions to.")],
    formats: Annotated[
        str, typer.Option("--formats", help="vtt, jsonl, llava: with commas.")
    ] = "vtt,jsonl,llava",
    clip_s: Annotated[
        float, typer.Option("--clip-s", min=1.0, max=3600.0, help="Length of a clip in seconds.")
    ] = 14.0,
    alphas: Annotated[
        str | None,
        typer.Option(
            "--alphas", help="Adapter strengths to compare, such as 0,4,8,20 (default: as set)."
        ),
    ] = None,
    dedupe: Annotated[
        float,
        typer.Option(
            "--dedupe",
            min=0.1,
            max=1.1,
            help="Shared words from which a caption is joined with the one before; 1.1 joins none.",
        ),
    ] = 0.9,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Describe videos clip by clip for players and training; an interrupted run continues.

    Each of several strengths gets a folder of its own. Nothing is ingested.
    """
    from app.services.recaption import RecaptionOrder, parse_formats
    from app.services.recaption import recaption as describe

    screen = open_screen(json=json)
    order = RecaptionOrder(
        sources=videos,
        output=output,
        formats=parse_formats(formats),
        clip_s=clip_s,
        alphas=() if alphas is None else numbers(alphas, float, "--alphas"),
        likeness=dedupe,
    )
    with open_library(home, model=model) as context, screen.progress() as progress:
        document = describe(context, order, progress.step)
    screen.show(document)
