"""Questions about a story whose answers are known, and the judge of a reply."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.records import TimeSpan
from engine.synthetic import grammar
from engine.synthetic.story import Event, Story

_ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, its right answer, and the moments that prove it."""

    text: str
    answer: str
    aliases: tuple[str, ...] = ()
    spans: tuple[TimeSpan, ...]
    """The moments that prove the answer; empty where nothing is to be found."""
    kind: str
    """A key of `grammar.TEMPLATES`, or `outside`."""

    @property
    def span(self) -> TimeSpan | None:
        """The first moment that proves the answer."""
        return self.spans[0] if self.spans else None


def questions(story: Story) -> tuple[Question, ...]:
    """Return every question that the canonical wordings can ask of a story unambiguously."""
    return questions_about(story.events)


def questions_about(events: tuple[Event, ...]) -> tuple[Question, ...]:
    """Return the same of events, whatever video shows them."""
    known = [question for event in events for question in _about(event, events)]
    for idx, (first, second) in enumerate(itertools.pairwise(events)):
        # Every other pair is named in reverse, so that no answer can be guessed from the wording.
        known += _about_order(first, second, is_turned=idx % 2 == 1)
    known += _about_counts(events)
    return tuple(known)


def is_right(reply: str, answer: str, aliases: tuple[str, ...] = ()) -> bool:
    """Return whether a reply says the answer: equals it, or holds it as whole words.

    Case, punctuation and articles do not matter. "No." is right only as the whole reply or its
    first word, since many sentences hold a "no".
    """
    words = _words(reply)
    for wanted in (_words(option) for option in (answer, *aliases)):
        if wanted in (["yes"], ["no"]):
            if words[:1] == wanted:
                return True
        elif wanted and any(
            words[start : start + len(wanted)] == wanted
            for start in range(len(words) - len(wanted) + 1)
        ):
            return True
    return False


def _words(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9']+", text.lower())
    return [word for word in words if word not in _ARTICLES] or words


def _ask(kind: str, **parts: str) -> str:
    return grammar.TEMPLATES[kind][0].format(**parts)


def _about(event: Event, events: tuple[Event, ...]) -> Iterator[Question]:
    name, spans = f"the {event.name}", (event.span,)

    def question(kind: str, text: str, answer: str, *aliases: str) -> Question:
        return Question(kind=kind, text=text, answer=answer, aliases=aliases, spans=spans)

    alike = [other for other in events if other.kind == event.kind]
    if event.card:
        card = event.card
        yield question("code", _ask("code", thing=name), f"{card.code}.", card.code)
        if sum(other.colour == card.colour for other in alike) == 1:
            yield question(
                "shape",
                _ask("shape", colour=card.colour),
                grammar.sentence(grammar.an(card.shape)),
                card.shape,
            )
        if sum(bool(other.card and other.card.shape == card.shape) for other in alike) == 1:
            thing = f"the {card.shape} card"
            yield question(
                "colour", _ask("colour", thing=thing), grammar.sentence(card.colour), card.colour
            )
    elif event.colour and len(alike) == 1:
        yield question(
            "colour",
            _ask("colour", thing=f"the {event.kind}"),
            grammar.sentence(event.colour),
            event.colour,
        )
    if event.direction:
        yield question(
            "direction",
            _ask("direction", thing=name),
            f"To the {event.direction}.",
            event.direction,
        )
    if not event.card:
        where = grammar.WHERE[event.place]
        yield question("where", _ask("where", thing=name), grammar.sentence(where), event.place)
    yield question("exist", _ask("exist", a_thing=grammar.an(event.name)), grammar.YES)
    yield question("when", _ask("when", thing=name), grammar.AT_THE_MOMENT)


def _about_order(first: Event, second: Event, *, is_turned: bool) -> Iterator[Question]:
    """Yield which came first, and whether; turned, the later one is named first."""
    earlier, later = f"the {first.name}", f"the {second.name}"
    thing, other = (later, earlier) if is_turned else (earlier, later)
    spans = (first.span, second.span)
    yield Question(
        kind="first",
        text=_ask("first", thing=thing, other=other),
        answer=grammar.sentence(earlier),
        aliases=(first.name,),
        spans=spans,
    )
    yield Question(
        kind="before",
        text=_ask("before", thing=thing, other=other),
        answer=grammar.sentence(f"{earlier} came first"),
        aliases=(f"{first.name} came first",),
        spans=spans,
    )


def _about_counts(events: tuple[Event, ...]) -> Iterator[Question]:
    """Yield how many there are of each kind, up to the numbers that have a word."""
    for kind in dict.fromkeys(event.kind for event in events):
        spans = tuple(event.span for event in events if event.kind == kind)
        if len(spans) < len(grammar.COUNTS):
            yield Question(
                kind="count",
                text=_ask("count", things=grammar.PLURALS[kind]),
                answer=grammar.COUNTS[len(spans)],
                aliases=(str(len(spans)),),
                spans=spans,
            )
