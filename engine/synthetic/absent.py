"""What a story does not show although it shows something like it: names with one word changed."""

from collections.abc import Iterator, Sequence

import numpy as np

from engine.synthetic import grammar
from engine.synthetic.actors import KINDS
from engine.synthetic.palette import COLOURS, SHAPES
from engine.synthetic.story import Event


def near_misses(events: Sequence[Event], rng: np.random.Generator, count: int) -> list[str]:
    """Names of things that are not there, without an article, each close to one that is.

    Args:
        events: What is there.
        rng: Chooses among them.
        count: Most names to return; fewer where the world runs out of them.
    """
    shown = {event.name for event in events}
    names = sorted({name for event in events for name in _one_word_off(event)} - shown)
    return [names[place] for place in rng.permutation(len(names))[:count]]


def _one_word_off(event: Event) -> Iterator[str]:
    """Another colour of the same thing, or another thing of the same colour."""
    if event.card:
        shape, colour = event.card.shape, event.card.colour
        yield from (grammar.thing_phrase("card", other, shape) for other in COLOURS)
        yield from (grammar.thing_phrase("card", colour, other) for other in SHAPES)
    elif event.colour:
        yield from (grammar.thing_phrase(event.kind, other) for other in COLOURS)
        coloured = (kind for kind in KINDS if kind != "dog")
        yield from (grammar.thing_phrase(kind, event.colour) for kind in coloured)
