"""Commands about where alerts may be sent: a group below `alerts`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from app.cli.common import Home, Json, open_library, open_screen, requested

destinations = typer.Typer(help="Say where alerts may be sent.", no_args_is_help=True)

DestinationName = Annotated[str, typer.Argument(help="Name of the destination.")]
STDIN = "-"


class KindChoice(StrEnum):
    """The values of `--kind` of destinations."""

    webhook = "webhook"
    mqtt = "mqtt"
    email = "email"
    apprise = "apprise"


@destinations.command("add")
def add_destination(
    name: DestinationName,
    address: Annotated[
        str,
        typer.Argument(
            help="https://host/path, mqtt://user:password@host, smtps://user:password@host, or an "
            "address of Apprise; - reads it from the standard input."
        ),
    ],
    kind: Annotated[KindChoice, typer.Option("--kind", help="What is there.")],
    to: Annotated[
        list[str] | None, typer.Option("--mail-to", help="Of mail: who gets it; repeatable.")
    ] = None,
    sender: Annotated[str, typer.Option("--mail-from", help="Of mail: who it is from.")] = "",
    topic: Annotated[str, typer.Option("--topic", help="Of MQTT: its root.")] = "longwatch",
    discovery: Annotated[
        str,
        typer.Option("--discovery", help="Of MQTT: where Home Assistant looks; '' tells nothing."),
    ] = "homeassistant",
    user: Annotated[
        str | None, typer.Option("--for", help="Send only what this user may see.", metavar="USER")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Send no stills.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Add a destination; the secret that signs a webhook is shown this once."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.schemas.destinations import CreateDestinationRequest
    from app.services.destinations import add_destination

    request = requested(
        CreateDestinationRequest,
        name=name,
        kind=kind.value,
        address=sys.stdin.readline().strip() if address == STDIN else address,
        to=to or [],
        sender=sender,
        topic=topic,
        discovery=discovery,
        pictures=not no_pictures,
        user=user,
    )
    with open_library(home) as context:
        document = add_destination(context, request)
    open_screen(json=json).show(document)


@destinations.command("list")
def list_destinations(json: Json = False, home: Home = None) -> None:
    """List every destination, without its secrets."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.destinations import list_destinations

    with open_library(home) as context:
        document = list_destinations(context)
    open_screen(json=json).show(document)


@destinations.command("test")
def send_test(name: DestinationName, json: Json = False, home: Home = None) -> None:
    """Send a destination a message that says it is a test."""
    from app.services.delivery import outbox

    with open_library(home) as context:
        document = outbox.send_test(context, name)
    open_screen(json=json).show(document)


@destinations.command("rm")
def remove_destination(name: DestinationName, json: Json = False, home: Home = None) -> None:
    """Delete a destination with its secret; nothing is sent there any more."""
    from app.services.destinations import remove_destination

    with open_library(home) as context:
        document = remove_destination(context, name)
    open_screen(json=json).show(document)
