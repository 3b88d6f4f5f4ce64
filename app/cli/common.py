"""Options that commands share, and what opens terminal, settings and library for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.cli.terminal import Terminal
    from app.config.settings import Settings
    from app.services.context import ServiceContext
    from app.services.scope import Bound

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the library (default: LONGWATCH_HOME).", metavar="DIR"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help=r"nano, a checkpoint folder, or org/name\[@revision]."),
]
Videos = Annotated[
    list[str] | None,
    typer.Option("--video", help="ID or name of a video; repeatable.", metavar="ID_OR_NAME"),
]
LogLevelOption = Annotated[
    str | None,
    typer.Option("--log-level", help="debug, info, warning or error.", metavar="LEVEL"),
]
LogFormatOption = Annotated[
    str | None,
    typer.Option("--log-format", help="auto, human or json.", metavar="FORMAT"),
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
        )
    )
    try:
        yield context
    finally:
        context.close()


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
