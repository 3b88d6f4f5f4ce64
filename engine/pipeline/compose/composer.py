"""A question and the observations of its footage to an answer, or to nothing."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from engine.pipeline.compose import (
    colour,
    doings,
    found,
    naming,
    order,
    overview,
    places,
    presence,
    words,
)
from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.question_kinds import QuestionForm, QuestionKind
from engine.records import TimeSpan

Answerer = Callable[[WatchedFootage, QuestionForm], Composed | None]

EDGE_SHARE: Final = 0.1
"""Share of a video that is its start or its end, at most `EDGE_S`."""
EDGE_S: Final = 5.0
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
    "doing": doings.doing,
    "describe": overview.describe,
    "summary": overview.summarise,
}
_SPOKEN_OF: Final = frozenset(
    ("what", "how_many", "doing", "where", "other", "read", "when", "how_long")
)
"""Kinds whose answer somebody may say: "How heavy is the object?"."""


_ABOUT_COLOUR: Final = re.compile(
    r"^(?:is|are|was) (?:this|it|the (?:picture|video|film|clip|footage|image|recording))\b.*"
    r"(?:in colou?r|black and white|monochrome)"
)


def compose(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer a question from observations alone.

    Args:
        footage: The rows of the scope, with their reach.
        form: The question, read.
    Returns:
        A sentence with its evidence and how far it holds; `None` where rows say nothing to it.
    """
    part = footage if form.at is None else _at(footage, form)
    if form.quoted and form.kind in {"when", "is_there", "how_often", "other"}:
        quoted = words.when_read(part, form)
        if quoted is not None:
            return quoted
    if _ABOUT_COLOUR.search(form.text):
        return colour.is_in_colour(part, form)
    answerer = _ANSWERERS.get(form.kind)
    composed = answerer(part, form) if answerer else None
    if form.kind in _SPOKEN_OF and (composed is None or composed.verdict == "unknown"):
        spoken = words.quote_speech(part, form)
        if spoken is not None:
            return spoken
    if composed is None or composed.verdict != "answered":
        return found.by_looks(part, form) or composed
    return composed


def _at(footage: WatchedFootage, form: QuestionForm) -> WatchedFootage:
    """Return the part of the footage that a question is about: an end of it, or a second."""
    if isinstance(form.at, float):
        return footage.within(TimeSpan(start_s=max(0.0, form.at - 0.75), end_s=form.at + 0.75))
    if not footage.watched:
        return footage
    start_s = min(item.span.start_s for item in footage.watched)
    end_s = max(item.span.end_s for item in footage.watched)
    edge_s = min(max(EDGE_SHARE * (end_s - start_s), LEAST_EDGE_S), EDGE_S, end_s - start_s)
    part = (
        TimeSpan(start_s=start_s, end_s=start_s + edge_s)
        if form.at == "start"
        else TimeSpan(start_s=end_s - edge_s, end_s=end_s)
    )
    return footage.within(part)
