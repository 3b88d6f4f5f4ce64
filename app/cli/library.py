"""What there is: videos, models, accounts."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    Home,
    Json,
    Model,
    RoleChoice,
    numbers,
    open_library,
    open_screen,
    open_settings,
    parse_offset,
)

videos = typer.Typer(help="The library: list, show, rm, export, reindex.", no_args_is_help=True)
models = typer.Typer(help="What models are here and what can be had.", no_args_is_help=True)
users = typer.Typer(help="Accounts of the web app.", no_args_is_help=True)


@videos.command("list")
def list_videos(json: Json = False, home: Home = None) -> None:
    """Every video of the library."""
    from app.services.library import list_videos

    with open_library(home) as context:
        document = list_videos(context)
    open_screen(json=json).show(document)


@videos.command("show")
def show_video(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """What is known of one video."""
    from app.services.library import show_video

    with open_library(home) as context:
        document = show_video(context, video)
    open_screen(json=json).show(document)


@videos.command("rm")
def remove_video(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Forget a video: its latents, index and rows. A file outside the library stays."""
    from app.services.access import find_video
    from app.services.library import remove_video

    with open_library(home) as context:
        document = remove_video(context, find_video(context, video))
    open_screen(json=json).show(document)


@videos.command("export")
def export_clip(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    file: Annotated[Path, typer.Argument(help="Where the clip goes (MP4).")],
    start: Annotated[str, typer.Option("--start", help="Offset, such as 1:02:03.")],
    end: Annotated[str, typer.Option("--end", help="Offset, such as 1:02:33.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Cut a clip, without encoding again where the container allows it."""
    from app.services.access import find_video
    from app.services.library import export_clip

    span_s = (parse_offset(start), parse_offset(end))
    with open_library(home) as context:
        document = export_clip(context, find_video(context, video), span_s, file)
    open_screen(json=json).show(document)


@videos.command("reindex")
def reindex_videos(json: Json = False, home: Home = None) -> None:
    """Rebuild chunk rows and the vector index from the latent files."""
    from app.services.library import reindex

    with open_library(home) as context:
        document = reindex(context)
    open_screen(json=json).show(document)


@models.command("list")
def list_models(json: Json = False, home: Home = None) -> None:
    """The families, what can be had, what is here, and what is verified."""
    from app.services.models import list_models

    open_screen(json=json).show(list_models(open_settings(home)))


@models.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="org/name[@revision]")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Fetch a checkpoint from the model hub; the only command that does so."""
    from app.services.models import pull_model

    open_screen(json=json).show(pull_model(name, open_settings(home)))


@models.command("check")
def check_model(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder.")], json: Json = False
) -> None:
    """Whether a checkpoint folder loads strictly, key by key."""
    from app.services.models import check_model

    open_screen(json=json).show(check_model(folder))


@models.command("calibrate")
def calibrate_model(
    haystacks: Annotated[
        list[str] | None,
        typer.Argument(help="Footage to hold up cards in; every other one is kept for the test."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the curve of both errors here (PNG).")
    ] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Measure when a model should say "not found"; writes retrieval.json beside its weights."""
    from app.services.evaluation import calibrate_model as measure

    with open_library(home, model=model) as context:
        document = measure(context, haystacks or (), plot=plot)
    open_screen(json=json).show(document)


@models.command("evidence")
def compare_signals(
    haystacks: Annotated[
        list[str] | None, typer.Argument(help="Footage in which cards are held up as well.")
    ] = None,
    lengths: Annotated[str, typer.Option("--lengths", help="Frames of the recordings.")] = (
        "64,256,1024"
    ),
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Of each length and setting in all.")
    ] = 512,
    seed: Annotated[int, typer.Option("--seed", help="Of the first recording.")] = 81_000,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Measure how well evidence is found: by vectors, by attention to VST keys, by both."""
    from app.services.evaluation import compare_signals as measure

    screen = open_screen(json=json)
    with open_library(home, model=model) as context, screen.progress() as progress:
        document = measure(
            context,
            haystacks or (),
            lengths=numbers(lengths, int, "--lengths"),
            n_frames=frames,
            seed=seed,
            report=progress.step,
        )
    screen.show(document)


@models.command("compare")
def compare_models(json: Json = False) -> None:
    """The families side by side: tokens per frame, bytes per hour, context for an hour."""
    from app.services.models import compare_models

    open_screen(json=json).show(compare_models())


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="What the account is called.")],
    role: Annotated[RoleChoice, typer.Option("--role", help="What it may do.")] = RoleChoice.viewer,
    password: Annotated[
        str,
        typer.Option(
            "--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for."
        ),
    ] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Open an account, or give an old one a new password and role."""
    from app.services.accounts import put_user

    with open_library(home) as context:
        document = put_user(context, name, role.value, password)
    open_screen(json=json).show(document)


@users.command("rm")
def remove_user(
    name: Annotated[str, typer.Argument(help="The account.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Close an account with its sessions, tokens and conversations."""
    from app.services.accounts import remove_user

    with open_library(home) as context:
        document = remove_user(context, name)
    open_screen(json=json).show(document)


@users.command("list")
def list_users(json: Json = False, home: Home = None) -> None:
    """Every account and its role."""
    from app.services.accounts import list_accounts

    with open_library(home) as context:
        document = list_accounts(context)
    open_screen(json=json).show(document)
