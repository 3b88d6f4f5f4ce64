"""Reading of a question: what it looks for, and whether one moment can answer it.

Plain rules on words, few, and wrong in ways that can be seen. A question is read once, by `parse`;
all that follows uses the `Query`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.pipeline.question_kinds import QuestionForm, read_question
from engine.pipeline.question_wording import plain, split_questions
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
        (?:and|(?:what|how)\ about)\s+ |
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

_IS_TWO_SENTENCES = re.compile(r"\?\s+\w")
_MORE = re.compile(r"^(?:and(?: also)?|or|what about|how about|and what about)\b", re.IGNORECASE)
"""Words by which a thing alone takes up the question before it."""

_PRONOUN = re.compile(r"(?:of )?(?:it|they|them|he|she|him|her|these|those|that|this)")
_POINTS_BACK = re.compile(r"\b(it|its|they|them|their|he|she|his|her)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question that has been read."""

    question: str
    """As asked, options included: the model is given this."""
    phrases: tuple[str, ...]
    """The things it looks for, in the words of a caption: two where it compares them, none where
    it names nothing."""
    recall: Recall
    """How much of the past its wording asks for: `overview` where it is about the whole video
    (summary, counting, order, or nothing named), else `top`."""
    form: QuestionForm
    """Its kind and what it asks about: what observations are asked by."""


def parse(question: str, history: Sequence[Turn] = ()) -> Query:
    """Read a question.

    A question that compares two named things is not about the whole: the moments of both answer
    it. One that points back ("what colour is it?") looks for what the question before it named.

    Args:
        question: One sentence; options may follow it.
        history: Earlier turns, oldest first.
    """
    before = _asked_before(history)
    text = _completed(strip_options(question), before)
    target = text
    if _points_back(text):
        # Over other questions that point back, to the one that names what is meant.
        named = (earlier for earlier in reversed(before) if not _points_back(earlier))
        target = next((earlier for earlier in named if names_something(phrase(earlier))), text)
    phrases = tuple(part for part in _split(target) if names_something(part))
    is_whole = len(phrases) < 2 and (not phrases or _WHOLE.search(target) is not None)
    # "How many of them are there?" counts, whatever the question that it points back to did.
    counts_back = target != text and _WHOLE.search(text) is not None
    recall: Recall = "overview" if is_whole or counts_back else "top"
    form = read_question(text)
    if target != text:
        form = replace(form, subject=read_question(target).subject or phrase(target))
    return Query(question=question, phrases=phrases, recall=recall, form=form)


def parts_of(question: str, history: Sequence[Turn] = ()) -> tuple[Query, ...]:
    """Read a text that may ask several questions, each in the light of those before it.

    Returns:
        One query where it asks one thing, or offers answers to choose from.
    """
    texts = split_questions(question) if strip_options(question) == question.strip() else ()
    if len(texts) < 2:
        return (parse(question, history),)
    before = [*history, *(Turn(question=part, answer="") for part in texts)]
    queries = tuple(parse(part, before[: len(history) + idx]) for idx, part in enumerate(texts))
    if any(query.form.kind == "other" for query in queries):
        return (parse(question, history),)
    if _IS_TWO_SENTENCES.search(question):
        return queries
    # "People or cars in the last minute": the time stands once and is of both.
    whole = read_question(question)
    return tuple(
        query
        if query.form.at is not None or query.form.between is not None
        else replace(query, form=replace(query.form, at=whole.at, between=whole.between))
        for query in queries
    )


def parse_search(text: str) -> Query:
    """Read a search text: one phrase to look for, whatever it names."""
    phrases = _split(strip_options(text))
    return Query(
        question=text,
        phrases=(" ".join(phrases) or text,),
        recall="top",
        form=read_question(strip_options(text)),
    )


def strip_options(question: str) -> str:
    """Return a question without its answer options."""
    stem = _OPTIONS.sub("", question.removeprefix("Question:")).strip()
    return stem or question.strip()


def phrase(question: str) -> str:
    """Return what a question looks for, in the words of a caption.

    "When does the red star card appear?" looks for "red star card". Joint image-text spaces are
    trained on captions, and the words of asking only blur them.
    """
    text = strip_options(question).strip(" ?.!,:")
    shorter = text
    while shorter:
        text = shorter
        for pattern in (_LEAD, _TAIL):
            trimmed = pattern.sub("", text)
            if trimmed != text and trimmed.strip():
                break
        shorter = trimmed.strip() if trimmed != text else ""
    return text


def names_something(text: str) -> bool:
    """Return whether a text holds a word beyond those of asking and of recordings in general."""
    return any(not _EMPTY_WORD.fullmatch(word) for word in re.findall(r"[\w']+", text))


def _asked_before(history: Sequence[Turn]) -> list[str]:
    """Return earlier questions, oldest first, each complete and by itself."""
    texts: list[str] = []
    for turn in history:
        for part in split_questions(strip_options(turn.question)):
            texts.append(_completed(part, texts))
    return texts


def _points_back(question: str) -> bool:
    """Return whether a question names what it is about by "it" or "them" alone."""
    if _PRONOUN.fullmatch(read_question(question).subject):
        return True
    return _POINTS_BACK.search(question) is not None and not names_something(phrase(question))


def _completed(text: str, before: Sequence[str]) -> str:
    """Return "and a cat?" as the question before it asks it: "is there a cat"."""
    added = _MORE.search(text)
    thing = text[added.end() :].strip(" ?.!") if added else ""
    if not thing or not before or read_question(thing).kind != "other":
        return text
    # Its time is taken up too.
    form, wording = read_question(before[-1]), plain(before[-1])
    is_whole = form.kind in {"other", "said", "summary", "describe"}
    if is_whole or not form.subject or form.subject not in wording:
        return text
    return wording.replace(form.subject, thing, 1)


def _split(stem: str) -> tuple[str, ...]:
    """Return the things that a question without options looks for, at least one.

    "Which came first, the dog or the red car?" looks for "dog" and for "red car".
    """
    if _COMPARES.search(stem):
        parts = (phrase(part) for part in _BETWEEN_THINGS.split(stem) if part.strip(" ?.!"))
        things = tuple(dict.fromkeys(part for part in parts if names_something(part)))
        if things:
            return things
    return (phrase(stem),)
