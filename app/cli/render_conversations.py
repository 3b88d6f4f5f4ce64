"""Conversations as tables: registered with `render` when the commands that show them run."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import basis_words, moment_parts, plain_table, printable, render
from app.schemas.conversations import ConversationResponse, ConversationsResponse, TurnItem


@render.register
def _(listing: ConversationsResponse) -> RenderableType:
    if not listing.conversations:
        return Text("no conversation has been kept: the web app and the HTTP API keep them")
    table = plain_table("id", "account", "last used", "name")
    for item in listing.conversations:
        used = item.updated_at[:16].replace("T", " ")
        table.add_row(item.conversation_id, item.account or "", used, printable(item.title))
    return table


@render.register
def _(conversation: ConversationResponse) -> RenderableType:
    return Group(*(part for turn in conversation.turns for part in _turn(turn)))


def _turn(turn: TurnItem) -> list[RenderableType]:
    basis = basis_words(turn.answered_by, turn.evidence, turn.model)
    notes = [*([basis] if basis else []), f"searched {turn.searched}"]
    return [
        Text(printable(turn.question), "bold"),
        Text(printable(turn.answer)),
        *moment_parts(turn.evidence, turn.nearest),
        Text("; ".join(notes), "dim"),
        "",
    ]
