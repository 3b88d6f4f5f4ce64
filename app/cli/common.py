"""Options that commands share, and what opens terminal, settings and library for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from app.cli.terminal import ProgressBars, Terminal
    from app.config.settings import Settings
    from app.services.context import ServiceContext
    from app.services.scope import Bound

    Request = TypeVar("Request", bound=BaseModel)

NONE = "none"
"""The value of an option that removes what was set."""


def _folder(text: str) -> Path:
    """Return a folder that was named; an empty name, of a variable that is not set, is none."""
    if not text.strip():
        raise typer.BadParameter(
            "the name of the folder is empty: give one, or leave the option out"
        )
    return Path(text)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder of the library (default: LONGWATCH_HOME).",
        metavar="DIR",
        parser=_folder,
    ),
]
Alone = Annotated[
    bool,
    typer.Option("--alone", help="Work in this process, even where a server of the library runs."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help=r"nano, a checkpoint folder, or org/name\[@revision]."),
]
Videos = Annotated[
    list[str] | None,
    typer.Option("--video", help="ID or name of a video; repeatable.", metavar="ID_OR_NAME"),
]
Cameras = Annotated[
    list[str] | None,
    typer.Option("--camera", help="Name of a camera, for all it filmed; repeatable."),
]
LogLevelOption = Annotated[
    str | None,
    typer.Option("--log-level", help="debug, info, warning or error.", metavar="LEVEL"),
]
LogFormatOption = Annotated[
    str | None,
    typer.Option("--log-format", help="auto, human or json.", metavar="FORMAT"),
]


On = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="Ray cluster that does the work: ray://HOST:PORT, HOST:PORT, auto, or local.",
        metavar="ADDRESS",
    ),
]


class RecallChoice(StrEnum):
    """The values of `--recall`."""

    top = "top"
    all = "all"


class RoleChoice(StrEnum):
    """The values of `--role`."""

    admin = "admin"
    viewer = "viewer"


After = Annotated[
    str | None, typer.Option("--after", help="Start: 1:30, 90m, or 2026-03-01T22:00.")
]
Before = Annotated[
    str | None, typer.Option("--before", help="End, in the same notations as --after.")
]
TimeOfDay = Annotated[
    str | None,
    typer.Option(
        "--time-of-day", help="Hours of each day, 22:00-06:00, in local time of the video."
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", help="Where it was filmed: Europe/Berlin, or +05:30."),
]


def open_screen(*, json: bool) -> "Terminal":
    """Return the output of a command: lines for people, or one JSON document."""
    from app.cli.terminal import Terminal

    return Terminal(json=json)


def open_settings(home: Path | None, *, is_service: bool = False, **flags: object) -> "Settings":
    """Return the settings, and have the process log as they say.

    A command that answers and ends logs warnings alone, unless a level was asked for: what it has
    to say it says itself.
    """
    from app.config.settings import load_settings, source_of
    from app.logging import configure_logging

    settings = load_settings(
        {name.replace("__", "."): flag for name, flag in flags.items()}, home=home
    )
    is_quiet = not is_service and source_of(settings, "log.level") is None
    configure_logging("warning" if is_quiet else settings.log.level, settings.log.format)
    return settings


@contextmanager
def open_library(
    home: Path | None,
    *,
    model: str | None = None,
    fps: float | None = None,
    is_service: bool = False,
    log_level: str | None = None,
    log_format: str | None = None,
    **flags: object,
) -> Iterator["ServiceContext"]:
    """Open the library of a command, and close it behind the command."""
    from app.services.context import ServiceContext

    context = ServiceContext(
        open_settings(
            home,
            is_service=is_service,
            model=model,
            sampling__fps=fps,
            log__level=log_level,
            log__format=log_format,
            **flags,
        )
    )
    try:
        yield context
    finally:
        context.close()


def perform(
    name: str,
    arguments: "BaseModel",
    *,
    home: Path | None,
    alone: bool,
    model: str | None = None,
    fps: float | None = None,
    progress: "ProgressBars | None" = None,
    on_token: Callable[[str], None] = lambda text: None,
) -> Any:
    """Run a command at the server of the library if one runs, else here; return its document.

    Args:
        name: One of `app.ipc.commands.COMMANDS`.
        progress: Bars and lines while it runs.
        on_token: Hears the words of an answer.
    """
    from app.cli.listener import TerminalListener
    from app.ipc.client import run_command

    settings = open_settings(home, model=model, sampling__fps=fps)
    listener = TerminalListener(progress, on_token)
    return run_command(name, arguments, settings, listener, alone=alone)


@contextmanager
def tell_what_is_kept(say: Callable[[str], None], describe: Callable[[], str]) -> Iterator[None]:
    """Say at Ctrl-C what is kept and how to go on, and leave the interruption to the caller."""
    try:
        yield
    except KeyboardInterrupt:
        say(describe())
        raise


def parse_bound(text: str | None) -> "Bound":
    """Return `--after` or `--before` as `resolve_scope` takes it."""
    from app.timefmt import parse_time

    bound: Bound = None if text is None else parsed(parse_time, text)
    return bound


def parse_offset(text: str) -> float:
    """Return an offset in seconds, written as `90`, `1:30` or `1:02:03.5`.

    Raises:
        BadParameter: It is a wall clock, or no time at all.
    """
    from app.timefmt import parse_time

    offset_s = parsed(parse_time, text)
    if not isinstance(offset_s, float | int):
        raise typer.BadParameter(f"{text!r} must be an offset from the start of the video")
    return float(offset_s)


def requested(kind: "type[Request]", /, **fields: Any) -> "Request":
    """Return a request of what was given on the command line, checked as one over the web is.

    Raises:
        BadParameter: A value that is not allowed; the value is not shown, it may be a secret.
    """
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{place}: {first['msg']}") from None


def parsed(parse: Any, text: str) -> Any:
    """Parse a value of an option; what cannot be parsed is wrong usage."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def numbers(text: str, kind: type, option: str) -> tuple[Any, ...]:
    """Return the numbers of an option that takes several, with commas between them."""
    try:
        numbers = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes numbers with commas, not {text!r}") from error
    if not numbers:
        raise typer.BadParameter(f"{option} needs at least one number")
    return numbers
