"""Commands about what there is: videos, models, users."""

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

videos = typer.Typer(help="List, show, remove, export and reindex videos.", no_args_is_help=True)
models = typer.Typer(help="List, pull, check and measure models.", no_args_is_help=True)
users = typer.Typer(help="Manage the accounts of the web app.", no_args_is_help=True)


@videos.command("list")
def list_videos(json: Json = False, home: Home = None) -> None:
    """List every video of the library."""
    from app.services.library import list_videos

    with open_library(home) as context:
        document = list_videos(context)
    open_screen(json=json).show(document)


@videos.command("show")
def show_video(
    video: Annotated[str, typer.Argument(help="ID or name of the video.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Show what is known of one video."""
    from app.services.library import show_video

    with open_library(home) as context:
        document = show_video(context, video)
    open_screen(json=json).show(document)


@videos.command("rm")
def remove_video(
    video: Annotated[str, typer.Argument(help="ID or name of the video.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Delete a video from the library; its original file is kept unless it was uploaded."""
    from app.services.access import find_video
    from app.services.library import remove_video

    with open_library(home) as context:
        document = remove_video(context, find_video(context, video))
    open_screen(json=json).show(document)


@videos.command("export")
def export_clip(
    video: Annotated[str, typer.Argument(help="ID or name of the video.")],
    file: Annotated[Path, typer.Argument(help="MP4 file to write.")],
    start: Annotated[str, typer.Option("--start", help="Offset such as 1:02:03.")],
    end: Annotated[str, typer.Option("--end", help="Offset such as 1:02:33.")],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is there already.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Cut a clip, without re-encoding where the container allows it."""
    from app.services.access import find_video
    from app.services.library import export_clip

    span_s = (parse_offset(start), parse_offset(end))
    with open_library(home) as context:
        row = find_video(context, video)
        document = export_clip(context, row, span_s, file, may_replace=force)
    open_screen(json=json).show(document)


@videos.command("reindex")
def reindex_videos(json: Json = False, home: Home = None) -> None:
    """Verify the latent files, and rebuild rows and the vector index from them."""
    from app.services.repair import reindex

    with open_library(home) as context:
        document = reindex(context)
    open_screen(json=json).show(document)


@models.command("list")
def list_models(json: Json = False, home: Home = None) -> None:
    """List models: on this machine, published, and how each is verified."""
    from app.services.models import list_models

    open_screen(json=json).show(list_models(open_settings(home)))


@models.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help=r"org/name\[@revision]")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Download a checkpoint from the model hub; no other command does."""
    from app.services.models import pull_model

    open_screen(json=json).show(pull_model(name, open_settings(home)))


@models.command("check")
def check_model(
    folder: Annotated[Path, typer.Argument(help="Checkpoint folder.")], json: Json = False
) -> None:
    """Check that a checkpoint folder loads strictly, key by key."""
    from app.services.models import check_model

    open_screen(json=json).show(check_model(folder))


@models.command("calibrate")
def calibrate_model(
    haystacks: Annotated[
        list[str] | None,
        typer.Argument(help="Footage to show cards in; every second file is kept for the test."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the curve of both errors to this PNG file.")
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
        list[str] | None, typer.Argument(help="Footage to show cards in, beside drawn recordings.")
    ] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Lengths of the recordings, in frames.")
    ] = ("64,256,1024"),
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Frames per length and setting, in total.")
    ] = 512,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first recording.")] = 81_000,
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
    """Compare the families: tokens per frame, bytes per hour, context for an hour."""
    from app.services.models import compare_models

    open_screen(json=json).show(compare_models())


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    role: Annotated[
        RoleChoice, typer.Option("--role", help="Role of the account.")
    ] = RoleChoice.viewer,
    password: Annotated[
        str,
        typer.Option(
            "--password",
            prompt=True,
            hide_input=True,
            confirmation_prompt=True,
            help="Password (prompted for if left out).",
        ),
    ] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Create an account, or give an existing one a new password and role."""
    from app.services.accounts import put_user

    with open_library(home) as context:
        document = put_user(context, name, role.value, password)
    open_screen(json=json).show(document)


@users.command("password")
def set_password(
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    password: Annotated[
        str,
        typer.Option(
            "--password",
            prompt=True,
            hide_input=True,
            confirmation_prompt=True,
            help="Password (prompted for if left out).",
        ),
    ] = "",
    end_tokens: Annotated[
        bool, typer.Option("--end-tokens", help="End the API tokens of the account too.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Give an account a new password; its sessions end."""
    from app.services.accounts import set_password as set_one

    with open_library(home) as context:
        document = set_one(context, name, password, ends_tokens=end_tokens)
    open_screen(json=json).show(document)


@users.command("rm")
def remove_user(
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Delete an account with its sessions, tokens and conversations."""
    from app.services.accounts import remove_user

    with open_library(home) as context:
        document = remove_user(context, name)
    open_screen(json=json).show(document)


@users.command("list")
def list_users(json: Json = False, home: Home = None) -> None:
    """List every account and its role."""
    from app.services.accounts import list_accounts

    with open_library(home) as context:
        document = list_accounts(context)
    open_screen(json=json).show(document)
