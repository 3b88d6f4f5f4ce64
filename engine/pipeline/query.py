"""Rules on a question's words: plain, few, and wrong in ways that can be seen."""

import re
from collections.abc import Sequence

from engine.records import Recall, Turn

_OPTIONS = re.compile(r"(?:^|\s)(?:options?:|\(A\)|A[.)])\s.*", re.IGNORECASE | re.DOTALL)
"""Answer options are no part of what is asked for."""

_WHOLE = re.compile(
    r"""\b(
        summar\w*|overview|overall|throughout|altogether|in\ total|
        (?:whole|entire)\ (?:video|clip|film|recording)|
        (?:video|clip|film|recording)\ (?:is\ )?about|
        how\ many|how\ often|count|number\ of|
        (?:in\ (?:what|which)\ )?order|sequence|
        first|last|before|after|earlier|later|then|next|between|
        most|least|longest|shortest|always|never|main|topic
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Summary, counting, order: one moment cannot answer these, and top-k alone is known to hurt."""

_COMPARES = re.compile(r"\b(first|last|before|after|earlier|later)\b", re.IGNORECASE)
_BETWEEN_THINGS = re.compile(r"\s*(?:[,:]|\bor\b|\bbefore\b|\bafter\b|\bthan\b)\s*", re.IGNORECASE)

_LEAD = re.compile(
    r"""^(?:
        (?:please|can\ you|could\ you|tell\ me|show\ me|find|describe|show|look\ for)\s+ |
        (?:at\ what\ time|what\ time|in\ (?:what|which)\ \w+|when|where|who)\s+ |
        (?:how(?:\ (?:many|much|often|long|far|old))?|why)\s+ |
        (?:which\ way|(?:which|what)\ (?:direction|colou?r|shape|code|number|kind))\s+ |
        (?:the\ colou?r|the\ code|the\ number)\s+of\s+ |
        (?:which|what|of|on)\s+ |
        (?:is|are|was|were|do|does|did|has|have|can|will)\s+ |
        (?:there|it|they|you|we|i)\s+ |
        (?:any|a|an|the|some)\s+ |
        (?:happens?\ (?:to|when)|see|seen|visible)\s+
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_TAIL = re.compile(
    r"""\s+(?:
        (?:first\ |ever\ )?(?:appear(?:s|ed)?|shown?|shows?\ up|seen|visible|happens?|occurs?)|
        (?:come|comes|came|leaves?|have|has)|
        (?:moves?|moving|go|goes|going|heading|head|heads|cross|crosses)|
        to\ the\ left\ or\ to\ the\ right|do\ you\ see|
        (?:in|of|during)\ (?:the|this)\ (?:video|clip|film|recording|footage)|
        (?:to|towards?|from|on|at|is|are|was|were|it|do|doing|there)
    )$""",
    re.IGNORECASE | re.VERBOSE,
)

_EMPTY_WORD = re.compile(
    r"""
    what|which|who|where|when|how|is|are|was|were|do|does|did|you|we|i|it|this|that|them|there|here|
    the|a|an|of|in|on|at|to|by|or|and|about|see|seen|shows?|shown|happen(?:s|ed|ing)?|going|
    place|scene|video|clip|film|recording|footage|kind|view|visible|describe|summar\w*|
    came|comes?|appear(?:s|ed)?|first|last|earlier|later|before|after|day|night|light|dark|
    one|all|everything|anything|something
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words of asking, and of recordings in general."""

_POINTS_BACK = re.compile(r"\b(it|its|they|them|their|he|she|his|her)\b", re.IGNORECASE)


def stem(question: str) -> str:
    """The question without its answer options."""
    without = _OPTIONS.sub("", question.removeprefix("Question:")).strip()
    return without or question.strip()


def phrase(question: str) -> str:
    """What a question looks for, in the words of a caption.

    "When does the red star card appear?" looks for "red star card". Joint image-text spaces are
    trained on captions, and the words of asking only blur them.
    """
    found = stem(question).strip(" ?.!,:")
    shorter = found
    while shorter:
        found = shorter
        for pattern in (_LEAD, _TAIL):
            trimmed = pattern.sub("", found)
            if trimmed != found and trimmed.strip():
                break
        shorter = trimmed.strip() if trimmed != found else ""
    return found


def phrases(question: str) -> tuple[str, ...]:
    """Everything a question looks for: two things where it compares them.

    "Which came first, the dog or the red car?" looks for "dog" and for "red car".
    """
    asked = stem(question)
    if _COMPARES.search(asked):
        parts = (phrase(part) for part in _BETWEEN_THINGS.split(asked) if part.strip(" ?.!"))
        named = tuple(dict.fromkeys(part for part in parts if names_something(part)))
        if named:
            return named
    return (phrase(question),)


def names_something(text: str) -> bool:
    """Whether a text holds any word beyond those of asking and of recordings in general."""
    return any(not _EMPTY_WORD.fullmatch(word) for word in re.findall(r"[\w']+", text))


def asks_for_whole(question: str) -> bool:
    """Whether a question is about the whole video: summary, counting, order, or nothing named.

    One that compares two named things is not: it is answered from the moments of both.
    """
    if len(phrases(question)) > 1:
        return False
    asked = stem(question)
    return _WHOLE.search(asked) is not None or not names_something(phrase(asked))


def recall_for(question: str, about: str) -> Recall:
    """How much of the past a question needs, that looks for what `about` names."""
    if about != question and _WHOLE.search(stem(question)):
        return "overview"
    return "overview" if asks_for_whole(about) else "top"


def in_context(question: str, history: Sequence[Turn]) -> str:
    """What to look for: the last question where this one points back ("what colour is it?")."""
    asked = stem(question)
    if history and _POINTS_BACK.search(asked) and not names_something(phrase(asked)):
        return stem(history[-1].question)
    return question


def spell_duration(duration_s: float) -> str:
    """A duration as one says it: "1 hour 5 minutes", "40 seconds"."""
    seconds = round(duration_s)
    if seconds < 60:
        return _counted(seconds, "second")
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [_counted(hours, "hour")] if hours else []
    return " ".join([*parts, _counted(minutes, "minute")] if minutes or not parts else parts)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
