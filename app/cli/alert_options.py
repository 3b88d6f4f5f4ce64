"""Options that say what a rule of alerts is about, and how they become its condition."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.common import NONE, parse_offset, requested

if TYPE_CHECKING:
    from app.schemas.alerts import AlertCondition


class DirectionChoice(StrEnum):
    """The values of `--direction`."""

    any = "any"
    left = "left"
    right = "right"
    up = "up"
    down = "down"


Thing = Annotated[
    str | None, typer.Option("--object", help="A thing by name: 'a person', 'a red car'.")
]
Motion = Annotated[bool, typer.Option("--motion", help="Anything that moves.")]
Print = Annotated[
    str | None, typer.Option("--text", help="Words that are read, all of them.", metavar="WORDS")
]
Speech = Annotated[
    str | None, typer.Option("--speech", help="Words that are said, all of them.", metavar="WORDS")
]
Phrase = Annotated[str | None, typer.Option("--phrase", help="A description: 'a dog on the sofa'.")]
NoMotion = Annotated[
    str | None,
    typer.Option("--no-motion-for", help="Nothing moves for so long: 10m.", metavar="TIME"),
]
NoPicture = Annotated[
    str | None,
    typer.Option("--no-picture-for", help="No picture comes for so long: 5m.", metavar="TIME"),
]
NoRecording = Annotated[
    str | None,
    typer.Option(
        "--no-recording-for", help="Pictures come and are not recorded: 1m.", metavar="TIME"
    ),
]
RuleCameras = Annotated[
    list[str] | None,
    typer.Option("--camera", help="Name of a camera; repeatable; none for no camera."),
]
RuleVideos = Annotated[
    list[str] | None,
    typer.Option(
        "--video",
        help="ID or name of a video; repeatable (default: everything).",
        metavar="ID_OR_NAME",
    ),
]
Days = Annotated[
    str | None, typer.Option("--days", help="Days with commas: mon,tue; or none for every day.")
]
Hours = Annotated[
    str | None,
    typer.Option("--hours", help="22:00-06:00 where it is filmed; or none for all day."),
]
ZoneOption = Annotated[
    str | None,
    typer.Option(
        "--zone",
        help="Corners in shares of width and height: '0.1,0.5 0.9,0.5 0.9,1'; or none.",
        metavar="CORNERS",
    ),
]
LineOption = Annotated[
    str | None,
    typer.Option("--line", help="Two ends in shares: '0.5,0 0.5,1'; or none.", metavar="ENDS"),
]
Direction = Annotated[
    DirectionChoice | None,
    typer.Option("--direction", help="The way over the line, as it looks on the picture."),
]
Sure = Annotated[
    float | None, typer.Option("--sure", help="Least support of an event, 0.05 to 0.99.")
]
Least = Annotated[
    str | None, typer.Option("--lasts", help="Shorter than this is no event: 5s.", metavar="TIME")
]
Cooldown = Annotated[
    str | None,
    typer.Option("--cooldown", help="Least time between two alerts: 1m.", metavar="TIME"),
]
SendTo = Annotated[
    list[str] | None,
    typer.Option("--to", help="Destination; repeatable; none sends nowhere.", metavar="NAME"),
]


def condition_changes(**options: Any) -> dict[str, Any]:
    """Return the fields of a condition that options give.

    Raises:
        BadParameter: An option that says nothing, or more than one thing to look for.
    """
    changes: dict[str, Any] = _subject(options)
    if options["video"] is not None:
        changes["videos"] = [] if options["video"] == [NONE] else options["video"]
    if options["camera"] is not None:
        changes["cameras"] = [] if options["camera"] == [NONE] else options["camera"]
    if options["days"] is not None:
        names = options["days"].lower().split(",")
        changes["days"] = [] if names == [NONE] else [name.strip()[:3] for name in names]
    if options["hours"] is not None:
        changes["hours"] = None if options["hours"] == NONE else options["hours"]
    if options["zone"] is not None:
        changes["zone"] = [] if options["zone"] == NONE else _corners("--zone", options["zone"])
    if options["line"] is not None:
        changes["line"] = None if options["line"] == NONE else _line(options)
    elif options["direction"] is not None:
        raise typer.BadParameter("--direction belongs to a --line")
    if options["sure"] is not None:
        changes["sure"] = options["sure"]
    if options["lasts"] is not None:
        changes["least_s"] = parse_offset(options["lasts"])
    if options["cooldown"] is not None:
        changes["cooldown_s"] = parse_offset(options["cooldown"])
    if options["to"] is not None:
        changes["destinations"] = [] if options["to"] == [NONE] else options["to"]
    return changes


def build_condition(fields: dict[str, Any]) -> "AlertCondition":
    """Return the condition of fields.

    Raises:
        BadParameter: One of them has a value that is not allowed.
    """
    from app.schemas.alerts import AlertCondition

    return requested(AlertCondition, **fields)


def _subject(options: dict[str, Any]) -> dict[str, Any]:
    subjects: list[dict[str, Any]] = [
        {"kind": kind, "words": options[kind]}
        for kind in ("object", "text", "speech", "phrase")
        if options[kind] is not None
    ]
    if options["motion"]:
        subjects.append({"kind": "motion", "words": ""})
    subjects += [
        {"kind": kind, "words": "", "too_long_s": parse_offset(options[kind])}
        for kind in ("no_motion", "no_picture", "no_recording")
        if options[kind] is not None
    ]
    if len(subjects) > 1:
        raise typer.BadParameter("a rule looks for one thing: make a rule of each")
    return subjects[0] if subjects else {}


def _line(options: dict[str, Any]) -> dict[str, Any]:
    ends = _corners("--line", options["line"])
    if len(ends) != 2:
        raise typer.BadParameter("--line takes two ends: '0.5,0 0.5,1'")
    direction = options["direction"] or DirectionChoice.any
    return {"start": ends[0], "end": ends[1], "direction": direction.value}


def _corners(option: str, text: str) -> list[tuple[float, float]]:
    from app.schemas.alerts import read_corners

    try:
        return read_corners(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
