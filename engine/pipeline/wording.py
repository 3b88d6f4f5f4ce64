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
        (?:video|clip|film|recording)\ (?:is\ )?about|what\ happens\ in|
        how\ many|how\ often|count|number\ of|
        (?:in\ (?:what|which)\ )?order|sequence|
        first|last|before|after|earlier|later|then|next|between|
        most|least|longest|shortest|always|never|main|topic
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Summary, counting, order: one moment cannot answer these, and top-k alone is known to hurt."""

_LEAD = re.compile(
    r"""^(?:
        (?:please|can\ you|could\ you|tell\ me|show\ me|find|describe|show|look\ for)\s+ |
        (?:at\ what\ time|what\ time|in\ (?:what|which)\ \w+|when|where|who)\s+ |
        (?:how(?:\ (?:many|much|often|long|far|old))?|why)\s+ |
        (?:which\ direction|what\ direction|what\ colou?r|what\ kind\ of|which|what)\s+ |
        (?:is|are|was|were|do|does|did|has|have|can|will)\s+ |
        (?:there|it|they|you|we|i)\s+ |
        (?:any|a|an|the|some)\s+ |
        (?:happens?\ (?:to|when)|see|seen|visible)\s+
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_TAIL = re.compile(
    r"""\s+(?:
        (?:first\ |ever\ )?(?:appears?|shown?|shows?\ up|seen|visible|happens?|occurs?|come|comes)|
        (?:moves?|moving|go|goes|going|heading|head|heads|cross|crosses)|
        (?:in|of|during)\ (?:the|this)\ (?:video|clip|film|recording|footage)|
        (?:to|towards?|from|on|at|is|are|it|do|doing|there)
    )$""",
    re.IGNORECASE | re.VERBOSE,
)

_POINTS_BACK = re.compile(r"\b(it|its|they|them|their|that|this|he|she|his|her)\b", re.IGNORECASE)


def stem(question: str) -> str:
    """The question without its answer options."""
    without = _OPTIONS.sub("", question.removeprefix("Question:")).strip()
    return without or question.strip()


def phrase(question: str) -> str:
    """What a question looks for, in the words of a caption.

    "When does the red star card appear?" looks for "red star card". Joint image-text spaces are
    trained on captions, and the words of asking only blur them.
    """
    found = stem(question).rstrip(" ?.!")
    for pattern in (_LEAD, _TAIL):
        while (shorter := pattern.sub("", found)) != found and shorter.strip():
            found = shorter.strip()
    return found


def asks_for_whole(question: str) -> bool:
    """Whether a question is about the whole video: summary, counting, order."""
    return _WHOLE.search(stem(question)) is not None


def recall_for(question: str) -> Recall:
    """How much of the past a question needs."""
    return "overview" if asks_for_whole(question) else "top"


def in_context(question: str, history: Sequence[Turn]) -> str:
    """A question that points back ("what colour is it?") with the one that it points to."""
    if history and _POINTS_BACK.search(stem(question)):
        return f"{stem(history[-1].question)} {stem(question)}"
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
