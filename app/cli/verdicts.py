"""Commands about verdicts: what people confirmed and rejected in the web app."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import Home, Json, open_library, open_screen

cli = typer.Typer(no_args_is_help=True, help="Moments that were confirmed or rejected.")


@cli.command("list")
def list_verdicts_given(json: Json = False, home: Home = None) -> None:
    """List the verdicts of every account, in the order in which they were given."""
    import app.cli.render_verdicts  # noqa: F401 - registers the table
    from app.services.verdicts import list_verdicts

    with open_library(home) as context:
        document = list_verdicts(context)
    open_screen(json=json).show(document)


@cli.command("export")
def export_verdicts_given(
    file: Annotated[Path, typer.Argument(help="A name that ends with .csv or .jsonl.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Write the verdicts of every account into a file."""
    from app.schemas.common import MessageResponse
    from app.services.verdicts import list_verdicts, save_verdicts

    with open_library(home) as context:
        document = list_verdicts(context)
    save_verdicts(document, file)
    count = len(document.verdicts)
    words = f"{count} verdict{'' if count == 1 else 's'} in {file}"
    open_screen(json=json).show(MessageResponse(message=words))
