"""The words of the drawn world: names, captions, questions and their short answers.

Every fact has several questions and one answer; the first wording of each is the canonical one.
Answers never hold a time: "when" is answered by the evidence beside the sentence.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CANNOT_TELL: Final = "I can't tell."
"""The answer to questions from outside the world, or about something that was not seen."""
AT_THE_MOMENT: Final = "At the moment shown."
YES: Final = "Yes."
NO: Final = "No."
COUNTS: Final = ("None.", "One.", "Two.", "Three.", "Four.", "Five.", "Six.")

MOTION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "person": "walks",
        "car": "drives",
        "truck": "drives",
        "bus": "drives",
        "bicycle": "rides",
        "dog": "runs",
        "bag": "stands",
    }
)
WHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "street": "on a street",
        "car park": "in a car park",
        "corridor": "in a corridor",
        "warehouse": "in a warehouse",
        "park": "in a park",
        "gate": "at a gate",
    }
)
PLURALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "person": "people",
        "car": "cars",
        "truck": "trucks",
        "bus": "buses",
        "bicycle": "bicycles",
        "dog": "dogs",
        "bag": "bags",
        "card": "cards",
    }
)
TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "colour": (
            "What colour is {thing}?",
            "Which colour does {thing} have?",
            "What color is {thing}?",
            "Tell me the colour of {thing}.",
        ),
        "shape": (
            "What shape is on the {colour} card?",
            "Which shape does the {colour} card show?",
            "What is on the {colour} card?",
        ),
        "code": (
            "What code is on {thing}?",
            "What number is on {thing}?",
            "Which code does {thing} show?",
            "What is the code of {thing}?",
        ),
        "which": ("Which card has the code {code}?", "What does the card with code {code} show?"),
        "exist": (
            "Is there {a_thing}?",
            "Does {a_thing} appear?",
            "Do you see {a_thing}?",
            "Is {a_thing} shown?",
            "Was there {a_thing}?",
        ),
        "direction": (
            "Which way does {thing} go?",
            "In which direction does {thing} go?",
            "Does {thing} go to the left or to the right?",
            "Where does {thing} go?",
            "Which direction is {thing} moving?",
        ),
        "where": (
            "Where is {thing}?",
            "Where does {thing} appear?",
            "In what place is {thing}?",
            "Where was {thing} seen?",
        ),
        "place": ("What place is this?", "Where is this?", "What kind of place do you see?"),
        "light": ("Is it day or night?", "Is this by day or at night?"),
        "when": (
            "When does {thing} appear?",
            "When is {thing} shown?",
            "When do you see {thing}?",
            "At what time does {thing} appear?",
            "When was {thing} there?",
        ),
        "first": (
            "Which came first, {thing} or {other}?",
            "What appeared first, {thing} or {other}?",
            "What was seen first: {thing} or {other}?",
        ),
        "before": (
            "Did {thing} come before {other}?",
            "Was {thing} shown before {other}?",
            "Does {thing} appear before {other}?",
        ),
        "after": (
            "Did {thing} come after {other}?",
            "Was {thing} shown after {other}?",
        ),
        "count": ("How many {things} are there?", "How many {things} do you see?"),
        "describe": (
            "What do you see?",
            "What happens?",
            "Describe what you see.",
            "What is shown?",
            "Describe the video.",
        ),
    }
)


def an(phrase: str) -> str:
    """Return a phrase with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeio' else 'a'} {phrase}"


def sentence(phrase: str) -> str:
    """Return a phrase as a sentence: a capital first letter and a full stop."""
    return phrase[0].upper() + phrase[1:] + "."


def thing_phrase(kind: str, colour: str | None = None, shape: str | None = None) -> str:
    """Return the name of a thing, without an article: red star card, person in blue, truck, dog."""
    if kind == "card":
        return " ".join(word for word in (colour, shape, "card") if word)
    if kind == "person" and colour:
        return f"person in {colour}"
    return f"{colour} {kind}" if colour else kind


def actor_caption(kind: str, colour: str | None, direction: str | None) -> str:
    """Return what an actor does, as one sentence."""
    if kind == "bag":
        return f"{an(thing_phrase('bag', colour)).capitalize()} stands there."
    named = an(thing_phrase(kind, colour))
    return sentence(f"{named} {MOTION[kind]} to the {direction}")


def card_caption(colour: str, shape: str, code: str) -> str:
    """Return what is printed on a card, as one sentence."""
    return f"{an(thing_phrase('card', colour, shape)).capitalize()} with the code {code}."


def scene_caption(place: str, light: str) -> str:
    """Return what the view is, as one sentence."""
    return sentence(f"{an(place)} {'at night' if light == 'night' else 'by day'}")
