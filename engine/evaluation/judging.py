"""Judgement of free answers and of search results about real footage: pure functions.

An answer is right, wrong or refused. Free wording is judged by the words that carry the
reference, a question of when by the first evidence; a person would let more pass.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from engine.records import TimeSpan

Verdict = Literal["right", "wrong", "refused"]

SLACK_S: Final = 1.0
"""People mark times by eye: a moment this far outside a true span counts as inside."""
LEAST_IOU: Final = 0.3
"""Overlap from which a first evidence shows the stretch that was asked for."""
LEAST_WORDS: Final = 0.5
"""Share of the reference's carrying words that a right answer holds."""

_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        re.findall(r"\w+", "zero one two three four five six seven eight nine ten eleven twelve")
    )
}
_ASIDE = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_WORD = re.compile(r"[a-z0-9]+(?::[0-9]{2})*")
_FUNCTION_WORD = re.compile(
    "a|about|all|an|and|are|as|at|be|by|can|did|do|does|for|from|has|have|he|her|him|his|i|in|into|is|it|"
    "its|my|of|on|or|over|she|so|some|that|the|their|them|there|they|this|to|up|was|were|what|when|"
    "where|which|who|will|with|you|your"
)
_SAYS = re.compile(r"(yes|no)\b", re.IGNORECASE)
_TIME = re.compile(r"\b\d+(?::\d{2})+(?:\.\d+)?\b|\b\d+(?:\.\d+)?\s?(?:s|seconds?|minutes?)\b")
_KINDS: Final = (
    ("count", r"how many|how often|number of people"),
    ("when", r"when\b|at what time|how long|which .*\blongest"),
    ("colour", r"(?:what|which) colou?rs?\b|.*\bin colou?r\b"),
    ("direction", r"(?:which|what) (?:way|direction)|.*\bdirection\b|from which side"),
    ("order", r".*\border\b|.*\b(?:first|last)\b.*\bor\b"),
    ("read", r".*\b(?:read|title|written|text|timecode|caption|says?|number is on|word)\b"),
    ("said", r".*\b(?:said|spoken|speaks?|speaking|addresse?s?|greeted|ask for)\b"),
    ("where", r"where\b|under which|what (?:is|hangs) (?:behind|on|under)"),
    ("yes/no", r"(?:is|are|was|were|do|does|did|has|have|can)\b"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as far as it is judged."""

    text: str
    is_refusal: bool
    """Whether it says that nothing here can tell."""
    evidence: tuple[TimeSpan, ...]
    """Best first."""


def kind_of(question: str) -> str:
    """Return the kind of a question by its wording: count, when, colour ... or `what`."""
    text = question.strip().lower()
    return next((kind for kind, pattern in _KINDS if re.match(pattern, text)), "what")


def judge(question: str, reference: str, span: TimeSpan | None, reply: Reply) -> Verdict:
    """Return how right a reply is.

    Args:
        question: Its wording decides how it is judged.
        reference: The true answer; what follows its first comma or stands in brackets is an aside.
        span: The moment that proves it; `None` where there is none.
    """
    if reply.is_refusal:
        return "refused"
    wanted = re.split(r"[,;:]\s|\s-\s", _ASIDE.sub("", reference))[0]
    kind = kind_of(question)
    if polarity := _SAYS.match(wanted):
        answered = _SAYS.match(reply.text.strip())
        is_right = answered is not None and answered[1].lower() == polarity[1].lower()
    elif kind == "when" and span is not None:
        is_right = bool(reply.evidence) and _shows(reply.evidence[0], span, wanted)
    elif kind == "count":
        is_right = _first_number(reply.text) == _first_number(wanted)
    else:
        is_right = _holds(reply.text, wanted)
    return "right" if is_right else "wrong"


def hits_moment(peak_s: float, truth: Sequence[TimeSpan]) -> bool:
    """Return whether a moment lies in a true span, give or take `SLACK_S`.

    Args:
        truth: Empty where the whole recording is true.
    """
    return not truth or any(
        span.start_s - SLACK_S <= peak_s < span.end_s + SLACK_S for span in truth
    )


def _shows(evidence: TimeSpan, span: TimeSpan, wanted: str) -> bool:
    """Return whether an evidence is the stretch, or begins where a moment was asked for."""
    if evidence.iou(span) >= LEAST_IOU:
        return True
    is_moment = re.match(r"(?:at|up to|about)\b", wanted) is not None
    return is_moment and hits_moment(evidence.start_s, [span])


def _holds(text: str, wanted: str) -> bool:
    carrying = [word for word in _words(wanted) if not _FUNCTION_WORD.fullmatch(word)]
    carrying = carrying or _words(wanted)
    given = set(_words(text))
    return sum(word in given for word in carrying) >= max(1.0, LEAST_WORDS * len(carrying))


def _first_number(text: str) -> str | None:
    words = _words(_TIME.sub(" ", text))
    return next((word for word in words if word.isdigit()), None)


def _words(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    singular = (word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)
    return [_NUMBERS.get(word, word) for word in singular]
