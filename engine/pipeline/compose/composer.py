"""A question and the observations of its footage to an answer, or to nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from engine.pipeline.compose import (
    colour,
    doings,
    found,
    naming,
    order,
    ordinal,
    overview,
    people,
    places,
    presence,
    words,
)
from engine.pipeline.compose.footage import Composed, WatchedFootage, WatchedSpan
from engine.pipeline.compose.sentences import listed, sentence, stretch
from engine.pipeline.compose.subjects import find_subject
from engine.pipeline.question_kinds import QuestionForm, QuestionKind
from engine.pipeline.question_times import Edge, FootagePart
from engine.records import TimeSpan, VideoId

Answerer = Callable[[WatchedFootage, QuestionForm], Composed | None]

EDGE_SHARE: Final = 0.1
"""Share of a video that is its start or its end, at most `EDGE_S`."""
EDGE_S: Final = 5.0
MOMENT_S: Final = 0.75
"""What lies so near to a second that a question names belongs to it."""
LEAST_EDGE_S: Final = 1.2
"""At one frame a second, so much holds at least one frame."""

_ANSWERERS: Final[Mapping[QuestionKind, Answerer]] = {
    "is_there": presence.is_there,
    "when": presence.when,
    "how_long": presence.how_long,
    "how_many": presence.how_many,
    "how_often": presence.how_often,
    "which_longest": presence.which_longest,
    "which_first": order.which_first,
    "what_next": order.what_next,
    "order": order.order,
    "where": places.where,
    "direction": places.direction,
    "colour": colour.colour,
    "said": words.said,
    "read": words.read,
    "what": naming.what,
    "who": people.who,
    "doing": doings.doing,
    "describe": overview.describe,
    "summary": overview.summarise,
}
_SPOKEN_OF: Final = frozenset(
    ("what", "who", "how_many", "doing", "where", "other", "read", "when", "how_long")
)
"""Kinds whose answer somebody may say: "How heavy is the object?"."""


_ABOUT_COLOUR: Final = re.compile(
    r"^(?:is|are|was) (?:this|it|the (?:picture|video|film|clip|footage|image|recording))\b.*"
    r"(?:in colou?r|black and white|monochrome)"
)
_EXCLUDES: Final = re.compile(r"\b(?:not|\w+n't|without|except|other than|never|nothing|none)\b")
_OF_PLACES: Final = frozenset(("where", "direction"))
_OF_THINGS: Final = frozenset(
    ("is_there", "how_many", "how_often", "how_long", "what", "who", "colour", "which_longest")
)
_NOT_TOLD: Final = "What is not so, or not there, cannot be told from what was recognised."
_YES_OR_NO: Final = re.compile(r"^(?:Yes|No)(?=[:,]).*?: ")


def compose(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer a question from observations alone.

    Args:
        footage: The rows of the scope, with their reach.
        form: The question, read.
    Returns:
        A sentence with its evidence and how far it holds; `None` where rows say nothing to it.
    """
    part = footage if form.at is None else _at(footage, form)
    if footage.watched and not part.watched:
        return _beyond(footage)
    if _EXCLUDES.search(form.text) and not form.is_absence and form.kind in _OF_THINGS:
        return Composed(text=_NOT_TOLD, verdict="unknown")
    composed = _compose(part, form)
    if composed is None or not form.is_negated:
        return composed
    # To "isn't there a dog?" a "yes" may mean either; what is in view does not.
    return replace(composed, text=sentence(_YES_OR_NO.sub("", composed.text)))


def _compose(part: WatchedFootage, form: QuestionForm) -> Composed | None:
    if form.quoted and form.kind in {"when", "is_there", "how_often", "other"}:
        quoted = words.when_read(part, form)
        if quoted is not None:
            return quoted
    if _ABOUT_COLOUR.search(form.text):
        return colour.is_in_colour(part, form)
    if form.kind == "other" and form.subject == form.text:
        # "A dog", or "dogs": the name of a thing alone asks whether it is there.
        is_named = find_subject(part, form.subject).thing.is_known
        form = replace(form, kind="is_there") if is_named else form
    answerer = _ANSWERERS.get(form.kind)
    if form.nth is not None:
        answerer = ordinal.nth
    composed = answerer(part, form) if answerer else None
    if form.kind in _SPOKEN_OF and (composed is None or composed.verdict == "unknown"):
        spoken = words.quote_speech(part, form)
        if spoken is not None:
            return spoken
    if composed is None or composed.verdict != "answered":
        return found.by_looks(part, form) or composed
    return composed


def _at(footage: WatchedFootage, form: QuestionForm) -> WatchedFootage:
    """Return the part of the footage that a question is about: an end of it, a part or a second."""
    # Where a thing is "at the end" is where it is then; that it is there holds for longer.
    cuts_rows = form.kind in _OF_PLACES
    if isinstance(form.at, float):
        moment = TimeSpan(start_s=max(0.0, form.at - MOMENT_S), end_s=form.at + MOMENT_S)
        return footage.within(moment, cuts_rows=cuts_rows)
    part = form.at
    if not isinstance(part, FootagePart):
        return footage.within(
            _by_timeline(footage, lambda start_s, end_s: _edge(part, start_s, end_s)),
            cuts_rows=cuts_rows,
        )
    if part.unit == "s":
        return footage.within(TimeSpan(start_s=part.start, end_s=part.end), cuts_rows=True)
    return footage.within(
        _by_timeline(footage, lambda start_s, end_s: _stretch(part, start_s, end_s)), cuts_rows=True
    )


def _by_timeline(
    footage: WatchedFootage, part_of: Callable[[float, float], TimeSpan]
) -> dict[VideoId, TimeSpan]:
    """Return a part of each video: of itself, or of all that its camera filmed.

    Args:
        part_of: Returns the part of a timeline that begins and ends at such times, in seconds.
    """
    timelines: dict[str, list[WatchedSpan]] = {}
    for item in footage.watched:
        key = item.video if item.camera is None or item.start_at is None else item.camera
        timelines.setdefault(key, []).append(item)
    parts = {}
    for items in timelines.values():
        offsets_s = [_offset_s(items[0], item) for item in items]
        start_s = min(item.span.start_s + by_s for item, by_s in zip(items, offsets_s, strict=True))
        end_s = max(item.span.end_s + by_s for item, by_s in zip(items, offsets_s, strict=True))
        part = part_of(start_s, end_s)
        for item, by_s in zip(items, offsets_s, strict=True):
            if part.end_s > by_s:
                own = max(0.0, part.start_s - by_s), part.end_s - by_s
                parts[item.video] = TimeSpan(start_s=own[0], end_s=own[1])
    return parts


def _offset_s(first: WatchedSpan, item: WatchedSpan) -> float:
    """Return how long after a video another of the same camera begins."""
    if first.start_at is None or item.start_at is None:
        return 0.0
    return (item.start_at - first.start_at).total_seconds()


def _edge(edge: Edge | None, start_s: float, end_s: float) -> TimeSpan:
    """Return the beginning or the end of footage that begins and ends at such times."""
    edge_s = min(max(EDGE_SHARE * (end_s - start_s), LEAST_EDGE_S), EDGE_S, end_s - start_s)
    if edge == "start":
        return TimeSpan(start_s=start_s, end_s=start_s + edge_s)
    return TimeSpan(start_s=end_s - edge_s, end_s=end_s)


def _stretch(part: FootagePart, start_s: float, end_s: float) -> TimeSpan:
    """Return a part of footage that begins and ends at such times."""
    if part.unit == "s_before_end":
        return TimeSpan(start_s=max(start_s, end_s - part.end), end_s=end_s)
    length_s = end_s - start_s
    return TimeSpan(start_s=start_s + part.start * length_s, end_s=start_s + part.end * length_s)


def _beyond(footage: WatchedFootage) -> Composed:
    """Say that nothing is known of the time that a question names: it may not be read yet."""
    spans = [stretch(footage, item.video, item.span) for item in footage.watched]
    text = f"nothing is known of that time; what was asked about lies {listed(spans)}"
    return Composed(text=sentence(text), verdict="unknown")
