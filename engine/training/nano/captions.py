"""Facts of a frame or a chunk to text: captions and queries for the CLIP pair, one line each.

A text says which facts it needs (`Phrase.specs`), so that a batch knows every frame that a text
fits and not only the one it was written for: "the red card" fits all red cards.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int16

from engine.pipeline.query import phrase as search_phrase
from engine.synthetic import grammar
from engine.synthetic.actors import DIRECTIONS, KINDS
from engine.synthetic.palette import COLOURS, SHAPES
from engine.synthetic.scene import LIGHTS, PLACES

FIELDS: Final = ("kind", "colour", "shape", "digit_1", "digit_2", "direction", "place", "light")
KIND_NAMES: Final = (*KINDS, "card")
CARD: Final = KIND_NAMES.index("card")
COLOUR_NAMES: Final = tuple(COLOURS)
N_VALUES: Final = (len(KIND_NAMES), len(COLOURS), len(SHAPES), 10, 10, 2, len(PLACES), len(LIGHTS))

FrameFacts = Int16[np.ndarray, " field"]
"""One value a field, -1 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A text, and the facts that a picture must show to fit it."""

    text: str
    specs: tuple[tuple[int, ...], ...]
    """Each has one value a field, -1 for any; a frame fits if it meets one of them."""


def unknown_facts() -> list[int]:
    """Return the facts of a frame of which nothing is known."""
    return [-1] * len(FIELDS)


def phrase_for(facts: FrameFacts, rng: np.random.Generator) -> Phrase | None:
    """Draw a caption or a question about one frame; `None` where nothing is known of it."""
    kind = int(facts[0])
    if kind >= 0:
        text, spec = _about_thing(facts, rng)
        if rng.random() < 0.12:
            other_text, other = _about_thing(_random_thing(rng), rng, plain=True)
            first_text, spec = _about_thing(facts, rng, plain=True)
            pair = (first_text, other_text) if rng.random() < 0.5 else (other_text, first_text)
            wording = _pick(rng, "first", "before", "after")
            question = wording.format(thing=f"the {pair[0]}", other=f"the {pair[1]}")
            return Phrase(text=question, specs=(tuple(spec), tuple(other)))
        return Phrase(text=text, specs=(tuple(spec),))
    if facts[6] >= 0:
        return _about_scene(facts, rng)
    return None


def thing_text(facts: FrameFacts, *, colour: bool = True, shape: bool = True) -> str:
    """Return the name of a frame's thing, with the facts allowed."""
    kind = KIND_NAMES[facts[0]]
    return grammar.thing_phrase(
        kind,
        COLOUR_NAMES[facts[1]] if colour and facts[1] >= 0 else None,
        SHAPES[facts[2]] if shape and facts[2] >= 0 else None,
    )


def _about_thing(
    facts: FrameFacts, rng: np.random.Generator, *, plain: bool = False
) -> tuple[str, list[int]]:
    spec = unknown_facts()
    spec[0] = int(facts[0])
    is_card = bool(facts[0] == CARD)
    use_colour = bool(facts[1] >= 0 and rng.random() < (0.8 if not plain else 0.95))
    use_shape = bool(is_card and rng.random() < (0.75 if not plain else 0.95))
    if use_colour:
        spec[1] = int(facts[1])
    if use_shape:
        spec[2] = int(facts[2])
    name = thing_text(facts, colour=use_colour, shape=use_shape)
    if plain:
        return name, spec
    if is_card and rng.random() < 0.25:
        spec[3], spec[4] = int(facts[3]), int(facts[4])
        code = f"{facts[3]}{facts[4]}"
        if rng.random() < 0.3:
            spec[1] = spec[2] = -1
            return _pick(rng, "which").format(code=code), spec
        return f"{grammar.an(name)} with the code {code}", spec
    if rng.random() < 0.4:
        return _statement(facts, name, spec, rng), spec
    question = _question(name, use_colour and is_card and not use_shape, facts, rng)
    # The product looks for a question's phrase; other callers may embed the whole question.
    return (search_phrase(question) if rng.random() < 0.5 else question), spec


def _statement(facts: FrameFacts, name: str, spec: list[int], rng: np.random.Generator) -> str:
    text = (name, grammar.an(name), f"the {name}")[rng.integers(3)]
    if facts[5] >= 0 and rng.random() < 0.4:
        spec[5] = int(facts[5])
        text += f" {grammar.MOTION[KIND_NAMES[facts[0]]]} to the {DIRECTIONS[facts[5]]}"
    if facts[6] >= 0 and facts[0] != CARD and rng.random() < 0.4:
        spec[6] = int(facts[6])
        text += f" {grammar.WHERE[PLACES[facts[6]]]}"
        if rng.random() < 0.5:
            spec[7] = int(facts[7])
            text += " at night" if facts[7] else " by day"
    return text


def _question(name: str, colour_only: bool, facts: FrameFacts, rng: np.random.Generator) -> str:
    thing = f"the {name}"
    if colour_only and rng.random() < 0.5:
        return _pick(rng, "shape").format(colour=COLOUR_NAMES[facts[1]])
    kinds = ["exist", "when", "where", "colour", "count"]
    if facts[0] == CARD:
        kinds += ["code"] * 3
    elif facts[5] >= 0:
        kinds += ["direction"] * 2
    kind = kinds[rng.integers(len(kinds))]
    plural = name.replace("card", "cards") if facts[0] == CARD else _plural(facts, name)
    return _pick(rng, kind).format(thing=thing, a_thing=grammar.an(name), things=plural)


def _plural(facts: FrameFacts, name: str) -> str:
    kind = KIND_NAMES[facts[0]]
    return name.replace(kind, grammar.PLURALS[kind])


def _about_scene(facts: FrameFacts, rng: np.random.Generator) -> Phrase:
    spec = unknown_facts()
    spec[6] = int(facts[6])
    place = PLACES[facts[6]]
    text = (place, grammar.an(place), f"an empty {place}")[rng.integers(3)]
    if facts[7] >= 0 and rng.random() < 0.6:
        spec[7] = int(facts[7])
        text += " at night" if facts[7] else " by day"
    return Phrase(text=text, specs=(tuple(spec),))


def _random_thing(rng: np.random.Generator) -> FrameFacts:
    facts = np.full(len(FIELDS), -1, dtype=np.int16)
    facts[0] = CARD if rng.random() < 0.5 else rng.integers(len(KINDS))
    facts[1] = rng.integers(len(COLOURS))
    if facts[0] == CARD:
        facts[2] = rng.integers(len(SHAPES))
    if KIND_NAMES[facts[0]] == "dog":
        facts[1] = -1
    return facts


def _pick(rng: np.random.Generator, *kinds: str) -> str:
    wordings = grammar.TEMPLATES[kinds[rng.integers(len(kinds))]]
    # The canonical wording is what the probe and the demo ask: 0.4 of the draws, and its share of
    # the rest.
    return wordings[0] if rng.random() < 0.4 else wordings[rng.integers(len(wordings))]
