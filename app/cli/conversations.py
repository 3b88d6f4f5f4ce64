"""Commands about conversations that the web app and the HTTP API have kept."""

from typing import Annotated

import typer

from app.cli.common import Home, Json, open_library, open_screen

cli = typer.Typer(no_args_is_help=True, help="Questions and answers that were kept.")


@cli.command("list")
def list_conversations(json: Json = False, home: Home = None) -> None:
    """List the conversations of every account, the latest first."""
    import app.cli.render_conversations  # noqa: F401 - registers the table
    from app.schemas.conversations import ConversationsResponse
    from app.services.conversations import list_all_conversations

    with open_library(home) as context:
        document = ConversationsResponse(conversations=list_all_conversations(context))
    open_screen(json=json).show(document)


@cli.command("show")
def show_conversation(
    conversation: Annotated[str, typer.Argument(help="ID of a conversation.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Show a conversation with what each answer rests on; with --json, all of it to keep."""
    import app.cli.render_conversations  # noqa: F401 - registers the table
    from app.services.conversations import show_any_conversation

    with open_library(home) as context:
        document = show_any_conversation(context, conversation)
    open_screen(json=json).show(document)
