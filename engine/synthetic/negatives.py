"""Questions whose right answer is no: near misses, and questions that no drawn video can answer.

A near miss is a name with one word changed, so that something like it is shown. Questions from
outside the drawn world teach a model to say that it cannot tell.

*Decision*: two disjoint halves of outside subjects and wordings, one for training, the other for
evaluation. *Because* a model that only knows the wordings it saw would still invent answers.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from engine.synthetic import grammar
from engine.synthetic.actors import KINDS
from engine.synthetic.palette import COLOURS, SHAPES
from engine.synthetic.story import Event

_SUBJECTS: Final = """
president weather tomorrow music song price money bank stock market recipe soup bread cheese
coffee tea wine beer pizza cake sugar salt apple banana potato rice fish chicken cow horse
elephant tiger lion snake bird eagle whale shark spider planet moon mars sun galaxy ocean river
mountain island desert forest volcano earthquake storm winter summer christmas birthday wedding
school teacher student exam homework university library book author poem novel film actor
director guitar piano violin drum orchestra football tennis chess hockey referee goal team coach
doctor nurse hospital medicine vaccine virus heart brain bone tooth blood skin diet vitamin
computer keyboard mouse printer robot software python internet password email website phone
battery camera engine rocket airplane train submarine bridge tower castle church museum palace
king queen emperor war treaty law court judge lawyer police prison election parliament tax
language grammar word letter alphabet number equation triangle theorem physics chemistry atom
electron gravity energy oxygen carbon gold silver iron diamond ring watch shirt shoe hat coat
kitchen bedroom garden window roof furniture chair lamp carpet baby mother father uncle cousin
friend neighbour boss job salary company factory shop customer ticket hotel passport airport
paris london tokyo berlin rome madrid egypt china brazil france germany japan africa europe
einstein shakespeare mozart napoleon newton darwin picasso cleopatra history future dream god
cats sheep rabbit frog butterfly bee flower rose tulip oak leaf grass seed farmer tractor milk
"""
_WORDINGS: Final = (
    "What is the capital of {a}?",
    "Who invented the {a}?",
    "How much does the {a} cost?",
    "Why is the {a} so big?",
    "What is the name of the {a}?",
    "Who wrote about the {a}?",
    "How old is the {a}?",
    "What does the {a} say?",
    "Is the {a} better than the {b}?",
    "Can you tell me about {a}?",
    "What is {a}?",
    "Who is {a}?",
    "How do I make {a}?",
    "Where can I buy a {a}?",
    "Explain {a} and {b}.",
    "Translate {a} to {b}.",
    "Write a poem about {a}.",
    "What do you think about {a}?",
    "When was the {a} built?",
    "How many people live in {a}?",
    "What is the weather in {a}?",
    "Does the man like {a}?",
    "What is the woman holding, a {a} or a {b}?",
    "Is there a {a}?",
    "What brand is the {a}?",
    "What is {n} plus {m}?",
    "How far is {a} from {b}?",
    "Why did the {a} leave the {b}?",
    "What song is about {a}?",
    "Who won the {a} in {n}?",
    "Which {a} is the best?",
    "How does a {a} work?",
    "What is the person saying about {a}?",
    "Is the {a} happy?",
    "What is the meaning of {a}?",
    "Tell me a joke about a {a}.",
    "What colour is the {a}?",
    "How many {a} are there?",
    "Which way does the {a} go?",
    "Where is the {a}?",
    "When does the {a} appear?",
    "Did the {a} come before the {b}?",
    "What happened to the {a}?",
    "Who are you?",
    "What is your name?",
    "How are you today?",
    "What is the temperature?",
    "What is the name of the person?",
    "How old is the person?",
    "Who owns the car?",
    "How fast is the car?",
    "What is the licence plate of the car?",
    "What music is playing?",
    "What does the person say?",
    "Is the person happy or sad?",
    "What year is it?",
    "Which city is this?",
    "Who drives the truck?",
    "What is inside the bag?",
    "Does the dog have a name?",
    "What is the person thinking?",
    "Who painted the card?",
    "How much did the bus cost?",
    "Why is the person walking?",
    "What breed is the dog?",
    "How heavy is the bag?",
)


def near_misses(events: Sequence[Event], rng: np.random.Generator, count: int) -> list[str]:
    """Return names of things that are not there, without an article, each close to one that is.

    Args:
        events: What is there.
        rng: Chooses among them.
        count: Most names to return; fewer where the world runs out of them.
    """
    shown = {event.name for event in events}
    names = sorted({name for event in events for name in _one_word_off(event)} - shown)
    return [names[idx] for idx in rng.permutation(len(names))[:count]]


def outside_question(rng: np.random.Generator, *, held_out: bool) -> str:
    """Draw a question that no drawn video can answer.

    Args:
        rng: Chooses wording and subjects.
        held_out: Take the wordings and subjects that training never uses.
    """
    wordings, subjects = _half(_WORDINGS, held_out), _half(_SUBJECTS.split(), held_out)
    first, second = (str(word) for word in rng.choice(subjects, size=2, replace=False))
    wording = str(rng.choice(wordings))
    return wording.format(a=first, b=second, n=int(rng.integers(100)), m=int(rng.integers(100)))


def _one_word_off(event: Event) -> Iterator[str]:
    """Yield another colour of the same thing, or another thing of the same colour."""
    if event.card:
        shape, colour = event.card.shape, event.card.colour
        yield from (grammar.thing_phrase("card", other, shape) for other in COLOURS)
        yield from (grammar.thing_phrase("card", colour, other) for other in SHAPES)
    elif event.colour:
        yield from (grammar.thing_phrase(event.kind, other) for other in COLOURS)
        coloured = (kind for kind in KINDS if kind != "dog")
        yield from (grammar.thing_phrase(kind, event.colour) for kind in coloured)


def _half(items: Sequence[str], held_out: bool) -> list[str]:
    """Return the held-out items, one in five, or all the others."""
    return [item for idx, item in enumerate(items) if (idx % 5 == 2) == held_out]
