"""Commands about what there is: videos, models, users."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import (
    NONE,
    Alone,
    Home,
    Json,
    Model,
    RoleChoice,
    numbers,
    open_library,
    open_screen,
    open_settings,
    parse_offset,
    parsed,
    perform,
    requested,
)

if TYPE_CHECKING:
    from app.schemas.models import PullPlan

videos = typer.Typer(
    help="List, show, correct, remove, export and reindex videos.", no_args_is_help=True
)
models = typer.Typer(help="List, pull, check and measure models.", no_args_is_help=True)
users = typer.Typer(help="Manage the accounts of the web app.", no_args_is_help=True)


@videos.command("list")
def list_videos(
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag; repeatable.")
    ] = None,
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """List the videos of the library."""
    from app.schemas.commands import ListArguments

    document = perform(
        "videos list", requested(ListArguments, tags=tag or []), home=home, alone=alone
    )
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


@videos.command("set")
def change_video(
    video: Annotated[str, typer.Argument(help="ID or name of the video.")],
    name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    start_at: Annotated[
        str | None,
        typer.Option("--start-at", help="Date and time of the first frame (ISO 8601), or none."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="Where it was filmed: Europe/Berlin, +05:30, or none."),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option("--camera", help="The camera that filmed it, or none."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="A tag to add; repeatable.")
    ] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", help="A tag to remove; repeatable.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Correct name, wall clock, time zone, camera or tags of a video; nothing is read again."""
    from app.services.access import find_video
    from app.services.library import change_video, show_video
    from app.services.wall_clock import ClockChange
    from app.timefmt import parse_moment

    if (name, start_at, timezone, camera) == (None, None, None, None) and not tag and not untag:
        raise typer.BadParameter("give --name, --start-at, --timezone, --camera, --tag or --untag")
    clock = ClockChange(
        start_at=None if start_at in {None, NONE} else parsed(parse_moment, start_at or ""),
        removes_start=start_at == NONE,
        timezone=None if timezone == NONE else timezone,
        removes_timezone=timezone == NONE,
    )
    with open_library(home) as context:
        row = change_video(
            context,
            find_video(context, video),
            name=name,
            clock=clock,
            camera=None if camera == NONE else camera,
            leaves_camera=camera == NONE,
            add_tags=tag or (),
            remove_tags=untag or (),
        )
        document = show_video(context, row.id)
    open_screen(json=json).show(document)


@videos.command("rm")
def remove_video(
    video: Annotated[str, typer.Argument(help="ID or name of the video.")],
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Delete a video from the library; its original file is kept unless it was uploaded."""
    from app.schemas.commands import VideoArguments

    document = perform("videos rm", VideoArguments(video=video), home=home, alone=alone)
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
def reindex_videos(alone: Alone = False, json: Json = False, home: Home = None) -> None:
    """Verify the latent files, and rebuild rows and the vector index from them."""
    from app.schemas.commands import NoArguments

    document = perform("videos reindex", NoArguments(), home=home, alone=alone)
    open_screen(json=json).show(document)


@models.command("list")
def list_models(json: Json = False, home: Home = None) -> None:
    """List models: on this machine, published, and how each is verified."""
    from app.services.models import list_models

    open_screen(json=json).show(list_models(open_settings(home)))


@models.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help=r"org/name\[@revision]")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Fetch without asking, whatever its size.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Download a checkpoint from the model hub; no other command does.

    Size, licence and memory are shown first; a download that was cut off continues.
    """
    from app.services.pull import pull_model

    screen = open_screen(json=json)

    def confirm(plan: "PullPlan") -> bool:
        screen.explain(plan)
        return yes or not screen.is_interactive or typer.confirm("Fetch it?", err=True)

    screen.show(pull_model(name, open_settings(home), confirm=confirm))


@models.command("check")
def check_model(
    folder: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Check that a checkpoint folder loads strictly, key by key."""
    from app.services.models import check_model

    open_settings(home)
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


@models.command("claim")
def fit_claim(
    encoder: Annotated[
        str, typer.Argument(help="An encoder with its checkpoint: siglip2:org/name, clip:folder.")
    ],
    root: Annotated[
        Path, typer.Option("--root", help="Footage with manifest.json and searches.json.")
    ],
    json: Json = False,
    home: Home = None,
) -> None:
    """Fit from when on an encoder claims a phrase; writes claim.json beside its weights.

    On every second phrase of the folder; the others state what the threshold does. The footage is
    read into a library of its own below runs.
    """
    from app.cli.footage import fit_claim
    from app.config.engine_config import models_folder

    screen = open_screen(json=json)
    library = home or Path("runs") / "fit-claim"
    # The checkpoint is that of the usual library, wherever the footage is read into.
    models = models_folder(open_settings(home))
    with (
        open_library(
            library, sight__encoder=(encoder,), sight__observers=(), paths__models=models
        ) as context,
        screen.progress() as progress,
    ):
        document = fit_claim(context, encoder, root, progress.step)
    screen.show(document)


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
def compare_models(json: Json = False, home: Home = None) -> None:
    """Compare the families: tokens per frame, bytes per hour, context for an hour."""
    from app.services.models import compare_models

    open_settings(home)
    open_screen(json=json).show(compare_models())


Password = Annotated[
    str | None, typer.Option("--password", help="Password (prompted for if left out).")
]


def prompt_password() -> str:
    """Ask for a password on the terminal, twice.

    Raises:
        BadParameter: There is no terminal to ask on, as in a script.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask for the password on: give --password")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    role: Annotated[
        RoleChoice, typer.Option("--role", help="Role of the account.")
    ] = RoleChoice.viewer,
    password: Password = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Create an account, or give an existing one a new password and role."""
    from app.services.accounts import put_user

    chosen = password or prompt_password()
    with open_library(home) as context:
        document = put_user(context, name, role.value, chosen)
    open_screen(json=json).show(document)


@users.command("password")
def set_password(
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    password: Password = None,
    end_tokens: Annotated[
        bool, typer.Option("--end-tokens", help="End the API tokens of the account too.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Give an account a new password; its sessions end."""
    from app.services.accounts import set_password as set_one

    chosen = password or prompt_password()
    with open_library(home) as context:
        document = set_one(context, name, chosen, ends_tokens=end_tokens)
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
