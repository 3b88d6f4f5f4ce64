"""Facts for a long stream: cards that are shown once, and questions that only they answer.

A fact of two hops is asked in two turns, as VideoChat-Flash's multi-hop needles are: what is on a
first card, its colour or its shape, says which of two other cards the second question means.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from engine.synthetic import grammar
from engine.synthetic.cards import Card, draw_card, hold_card
from engine.synthetic.palette import COLOURS, N_CODES, SHAPES

_KEYS = 3
"""Shapes, and colours, that one card alone has: so many facts of two hops of each kind."""
ANSWER = "{answer}"
"""Where a later question takes the answer to the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactStep:
    """One question of a fact, and the card that answers it."""

    question: str
    answer: str
    card_idx: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Cards to show, and the questions to ask of them in turn; the last answer counts."""

    cards: tuple[Card, ...]
    steps: tuple[FactStep, ...]


def draw_facts(n: int, *, hops: int, seed: int) -> tuple[Fact, ...]:
    """Return facts whose questions do not answer one another's.

    Args:
        n: At most 56 of one hop, and 6 of two: each needs colours and shapes of its own.
        hops: 1 or 2.
        seed: Decides what is on the cards; every combination was held out from nano's training.
    Raises:
        ValueError: More facts than there are.
    """
    most = {1: len(COLOURS) * len(SHAPES), 2: 2 * _KEYS}
    if hops not in most:
        raise ValueError(f"hops must be 1 or 2, not {hops}")
    if not 0 < n <= most[hops]:
        raise ValueError(f"there are 1 to {most[hops]} facts of {hops} hop(s), not {n}")
    rng = np.random.default_rng([seed, 11, hops])
    return _single(n, rng) if hops == 1 else _chained(n, rng)


def draw_picture(
    card: Card, seed: int, *, height_px: int = 360, width_px: int = 640
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a card that is held before the camera."""
    rng = np.random.default_rng([seed, 13])
    image = np.empty((height_px, width_px, 3), dtype=np.uint8)
    image[:] = rng.integers(70, 150, size=3, dtype=np.uint8)
    hold_card(image, draw_card(card, height_px, width_px), rng)
    return image


def _single(n: int, rng: np.random.Generator) -> tuple[Fact, ...]:
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    chosen = [pairs[idx] for idx in rng.permutation(len(pairs))[:n]]
    return tuple(
        Fact(cards=(card,), steps=(_ask_code(f"{card.colour} {card.shape}", card, 0),))
        for card in (_card(colour, shape, rng) for colour, shape in chosen)
    )


def _chained(n: int, rng: np.random.Generator) -> tuple[Fact, ...]:
    colours = [str(colour) for colour in rng.permutation(list(COLOURS))]
    shapes = [str(shape) for shape in rng.permutation(SHAPES)]
    # A first card is the only one of its shape, or of its colour; all others share both.
    key_shapes, shared_shapes = shapes[:_KEYS], shapes[_KEYS:]
    key_colours, shared_colours = colours[:_KEYS], colours[_KEYS:]
    free = [(colour, shape) for colour in shared_colours for shape in shared_shapes]
    facts = []
    for idx in range(n):
        by_colour = idx % 2 == 0
        right, other = _pair(free, rng, same_shape=by_colour)
        key = (right[0], key_shapes[idx // 2]) if by_colour else (key_colours[idx // 2], right[1])
        cards = tuple(_card(colour, shape, rng) for colour, shape in (key, right, other))
        steps = (_ask_colour(cards[0]), _ask_code(f"{ANSWER} {right[1]}", cards[1], 1))
        if not by_colour:
            steps = (_ask_shape(cards[0]), _ask_code(f"{right[0]} {ANSWER}", cards[1], 1))
        facts.append(Fact(cards=cards, steps=steps))
    return tuple(facts)


def _pair(
    free: list[tuple[str, str]], rng: np.random.Generator, *, same_shape: bool
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Take two kinds of card that share their shape, or their colour, and differ in the other."""
    shared = 1 if same_shape else 0
    for idx in rng.permutation(len(free)):
        right = free[idx]
        others = [kind for kind in free if kind != right and kind[shared] == right[shared]]
        if others:
            other = others[rng.integers(len(others))]
            free.remove(right)
            free.remove(other)
            return right, other
    raise AssertionError("there are more kinds of card than chains can take")


def _ask_colour(card: Card) -> FactStep:
    question = grammar.TEMPLATES["colour"][0].format(thing=f"the {card.shape} card")
    return FactStep(question=question, answer=card.colour, card_idx=0)


def _ask_shape(card: Card) -> FactStep:
    question = grammar.TEMPLATES["shape"][0].format(colour=card.colour)
    return FactStep(question=question, answer=card.shape, card_idx=0)


def _ask_code(which: str, card: Card, card_idx: int) -> FactStep:
    question = grammar.TEMPLATES["code"][0].format(thing=f"the {which} card")
    return FactStep(question=question, answer=card.code, card_idx=card_idx)


def _card(colour: str, shape: str, rng: np.random.Generator) -> Card:
    """Return a card of a colour and a shape with a code that holds it out."""
    while True:
        card = Card(colour=colour, shape=shape, code=f"{rng.integers(N_CODES):02d}")
        if card.is_held_out:
            return card
