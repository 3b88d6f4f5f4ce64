"""Conditions of alert rules: checked once, then read as the engine takes them."""

from collections.abc import Sequence
from typing import Final

from app.schemas.alerts import WEEKDAYS, AlertCondition
from app.services.access import find_camera, find_video
from app.services.context import ServiceContext
from app.services.hours import ALL_DAYS, WHOLE_DAY, daily_spans, parse_hours
from app.services.library import check_name
from engine.errors import InputRefusedError
from engine.media.address import is_live_uri
from engine.pipeline.alerts.geometry import Line, Point, Zone
from engine.pipeline.alerts.sightings import Place
from engine.pipeline.row_search import Wanted, read_query
from engine.records import ObservationKind, TimeSpan
from storage.alert_records import AlertRuleRow
from storage.full_text import words_of
from storage.records import VideoRow

OBSERVED: Final[dict[str, ObservationKind]] = {
    "object": "object",
    "motion": "motion",
    "text": "text",
    "speech": "speech",
    "no_motion": "motion",
}
"""The observer that states what a kind of rule is about."""
OF_CAMERAS: Final = frozenset({"no_picture", "no_recording"})
"""Kinds that are about how a camera is doing, and judged by the clock."""
_WITH_WORDS: Final = frozenset({"object", "text", "speech", "phrase"})
_WITH_PLACE: Final = frozenset({"object", "motion"})
_IN_WORDS: Final = {
    "motion": "anything that moves",
    "no_motion": "nothing moves",
    "no_picture": "no picture comes",
    "no_recording": "nothing is recorded",
}


def read_condition(rule: AlertRuleRow) -> AlertCondition:
    """Return the condition that a rule was written with."""
    return AlertCondition.model_validate(rule.definition)


def check_condition(context: ServiceContext, condition: AlertCondition) -> AlertCondition:
    """Return a condition with the ids of its videos in place of their names.

    Raises:
        InputRefusedError: Something in it can never be satisfied.
        NotFoundError: A video or a destination that is not there.
    """
    has_words = bool(condition.words.strip())
    if has_words != (condition.kind in _WITH_WORDS):
        wants = "needs words" if condition.kind in _WITH_WORDS else "takes no words"
        raise InputRefusedError(
            f"a rule about {condition.kind} {wants}",
            hint="an object, text, speech or phrase says what to look for",
        )
    if condition.kind == "object":
        _check_object(condition.words)
    if condition.kind in {"text", "speech"} and not words_of(condition.words):
        raise InputRefusedError(
            f"{condition.words!r} holds no words to look for", hint="leave out only stop words"
        )
    if (condition.zone or condition.line) and condition.kind not in _WITH_PLACE:
        raise InputRefusedError(
            f"a rule about {condition.kind} has no place on the picture",
            hint="zones and lines are for objects and motion",
        )
    if condition.zone and condition.line:
        raise InputRefusedError("a rule has a zone or a line, not both", hint="make two rules")
    if condition.hours is not None:
        parse_hours(condition.hours)
    place_of(condition)
    for name in condition.destinations:
        context.catalog.destinations.find(name)
    if condition.kind in OF_CAMERAS and condition.videos:
        raise InputRefusedError(
            f"a rule about {condition.kind} is about cameras alone", hint="name cameras, or none"
        )
    videos = [find_video(context, video).id for video in condition.videos]
    cameras = [find_camera(context, camera).id for camera in condition.cameras]
    return condition.model_copy(
        update={"videos": [*dict.fromkeys(videos)], "cameras": [*dict.fromkeys(cameras)]}
    )


def check_plain_name(name: str) -> str:
    """Return the name of a rule or a destination, which stands in addresses of the API.

    Raises:
        InputRefusedError: It holds a slash, or cannot be a name at all.
    """
    plain = check_name(name)
    if "/" in plain:
        raise InputRefusedError(f"{plain!r} holds a slash", hint="leave it out of the name")
    return plain


def place_of(condition: AlertCondition) -> Place:
    """Return the zone or line of a condition.

    Raises:
        InputRefusedError: It holds none of the picture.
    """
    try:
        zone = Zone(tuple(Point(*corner) for corner in condition.zone)) if condition.zone else None
        drawn = condition.line
        line = (
            None if drawn is None else Line(Point(*drawn.start), Point(*drawn.end), drawn.direction)
        )
    except ValueError as error:
        raise InputRefusedError(
            str(error), hint="places are shares of width and height, such as 0.25,0.8"
        ) from error
    return Place(zone=zone, line=line)


def is_one_thing(words: str) -> bool:
    """Return whether words name one thing that the detector has a label for, and nothing more."""
    wanted = read_object(words)
    is_whole = not (wanted.unknown or wanted.negated) and wanted.count == 1
    return is_whole and len(wanted.terms) == 1 and bool(wanted.terms[0].labels)


def _check_object(words: str) -> None:
    if is_one_thing(words):
        return
    wanted = read_object(words)
    if not wanted.terms:
        raise InputRefusedError(
            f"nothing here recognises {words!r} as a thing",
            hint="name one such as person, car or dog, or describe it as a phrase",
        )
    wider = sorted(label for term in wanted.terms for label in term.wider_labels)
    if wider:
        raise InputRefusedError(
            f"nothing here tells {words!r} from any other {wider[0]}",
            hint=f"name {wider[0]} itself, or describe it as a phrase",
        )
    raise InputRefusedError(
        f"{words!r} is more than one thing by name", hint="describe it as a phrase"
    )


def read_object(words: str) -> Wanted:
    """Return the thing that a condition names, as rows of a detector answer it."""
    return read_query(words)


def is_about(condition: AlertCondition, video: VideoRow, videos: Sequence[VideoRow]) -> bool:
    """Return whether a condition is about a video.

    A camera is one, however often it was opened anew: each time it films another video.

    Args:
        videos: All that there are.
    """
    if video.id in condition.videos or video.camera in condition.cameras:
        return True
    if not (condition.videos or condition.cameras):
        return True
    return any(is_same_camera(row, video) for row in videos if row.id in condition.videos)


def is_same_camera(video: VideoRow, other: VideoRow) -> bool:
    """Return whether two videos were filmed by one camera, or are one."""
    if video.camera is not None or other.camera is not None:
        return video.camera == other.camera
    # Opened without a camera of its own, each time as another video of the same address.
    return video.id == other.id or (is_live_uri(video.uri) and video.uri == other.uri)


def schedule_spans(
    context: ServiceContext, condition: AlertCondition, video: VideoRow, span: TimeSpan
) -> tuple[TimeSpan, ...]:
    """Return the parts of a stretch that lie in the hours and days of a condition.

    Of a video without a wall clock nobody knows: none of it, where there are hours or days.
    """
    if not (condition.days or condition.hours):
        return (span,)
    hours = parse_hours(condition.hours) if condition.hours else WHOLE_DAY
    days = frozenset(map(WEEKDAYS.index, condition.days)) or ALL_DAYS
    zone = context.settings.media.zone(video.timezone)
    parts: list[TimeSpan] = []
    for part in daily_spans(video, span, hours, zone, days=days):
        if parts and part.start_s <= parts[-1].end_s:
            # Of whole days in a row one stretch: midnight ends no event.
            part = TimeSpan(start_s=parts.pop().start_s, end_s=part.end_s)
        parts.append(part)
    return tuple(parts)


def describe_condition(condition: AlertCondition, names: Sequence[str]) -> str:
    """Return a condition in words.

    Args:
        names: Of its cameras and videos; everything when empty.
    """
    subject = _IN_WORDS.get(condition.kind) or {
        "object": condition.words,
        "phrase": f"looks like {condition.words!r}",
        "text": f"print that holds {condition.words!r}",
        "speech": f"somebody says {condition.words!r}",
    }.get(condition.kind, condition.kind)
    parts = [subject]
    if condition.kind in {"no_motion", *OF_CAMERAS}:
        parts[0] += f" for {seconds_text(condition.too_long_s)}"
    if condition.zone:
        parts.append("in its zone")
    if condition.line is not None:
        way = "" if condition.line.direction == "any" else f" going {condition.line.direction}"
        parts.append(f"crosses its line{way}")
    if condition.least_s:
        parts.append(f"for at least {seconds_text(condition.least_s)}")
    parts.append(f"in {', '.join(names)}" if names else "everywhere")
    if condition.days:
        parts.append(f"on {', '.join(condition.days)}")
    if condition.hours:
        parts.append(f"at {condition.hours} local time")
    if condition.cooldown_s:
        parts.append(f"at most every {seconds_text(condition.cooldown_s)}")
    return " ".join(parts)


def seconds_text(seconds: float) -> str:
    """Return a duration as people write it: `90 s`, `10 min`, `2 h`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
