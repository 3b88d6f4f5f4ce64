"""Commands about the object store: push, status, verify, adopt, clean."""

from datetime import timedelta
from typing import Annotated

import typer

from app.cli.common import Home, Json, open_library, open_screen

cli = typer.Typer(
    help="Put the library into an object store, see what lies there, verify it, make its list "
    "again, and delete what belongs to nobody.",
    no_args_is_help=True,
)


@cli.command("push")
def push_objects(json: Json = False, home: Home = None) -> None:
    """Put every file of the library that is not in the store there; interrupted, it goes on."""
    import app.cli.render_objects  # noqa: F401 - registers the tables
    from app.services.objects import push

    screen = open_screen(json=json)
    with open_library(home) as context, screen.progress() as progress:
        document = push(context, progress.step)
    screen.show(document)


@cli.command("status")
def show_objects(json: Json = False, home: Home = None) -> None:
    """Show what lies in the store, what does not yet, and whether the store answers."""
    import app.cli.render_objects  # noqa: F401 - registers the tables
    from app.services.objects import show_status

    with open_library(home) as context:
        document = show_status(context)
    open_screen(json=json).show(document)


@cli.command("verify")
def verify_objects(
    digests: Annotated[
        bool, typer.Option("--digests", help="Read every byte; else lengths are compared.")
    ] = False,
    mend: Annotated[
        bool, typer.Option("--mend", help="Put there again what is missing and whole here.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Compare the store with the list of what was put there."""
    import app.cli.render_objects  # noqa: F401 - registers the tables
    from app.services.objects import verify

    screen = open_screen(json=json)
    with open_library(home) as context, screen.progress() as progress:
        document = verify(context, digests=digests, mend=mend, progress=progress.step)
    screen.show(document)


@cli.command("adopt")
def adopt_objects(json: Json = False, home: Home = None) -> None:
    """Take up into the list what lies in the store and is in no list; reads every byte of it.

    For a database that was lost or is an older one; then run `longwatch videos reindex`.
    """
    import app.cli.render_objects  # noqa: F401 - registers the tables
    from app.services.object_list import adopt

    screen = open_screen(json=json)
    with open_library(home) as context, screen.progress() as progress:
        document = adopt(context, progress.step)
    screen.show(document)


@cli.command("clean")
def clean_objects(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List them, and delete nothing.")
    ] = False,
    hours: Annotated[
        float, typer.Option("--hours", min=1, help="Age below which an object is left alone.")
    ] = 24.0,
    json: Json = False,
    home: Home = None,
) -> None:
    """Delete objects that belong to no video and no camera of the library."""
    import app.cli.render_objects  # noqa: F401 - registers the tables
    from app.services.orphan_objects import clean

    screen, grace = open_screen(json=json), timedelta(hours=hours)
    with open_library(home) as context, screen.progress() as progress:
        document = clean(context, grace=grace, dry_run=dry_run, progress=progress.step)
    screen.show(document)
