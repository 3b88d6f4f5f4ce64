"""Questions about the chunks that a reader recalls, each with its one right answer.

A reader is one recalled memory: some chunks in time order and several questions about them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from engine.synthetic import grammar
from engine.synthetic.negatives import outside_question
from engine.synthetic.palette import SHAPES
from engine.training.nano.captions import COLOUR_NAMES, KIND_NAMES
from engine.training.nano.chunks import Chunk, Name, Thing


@dataclass(frozen=True, slots=True)
class QaPair:
    """A question with its right answer."""

    kind: str
    text: str
    answer: str


@dataclass(slots=True)
class QuestionSampler:
    """What a reader can be asked about its chunks, in time order."""

    rng: np.random.Generator
    chunks: Sequence[Chunk]
    held_out: bool = False
    """Whether outside questions come from the half kept for evaluation."""
    is_canonical: bool = False
    """Whether only the first wording of each question is used."""
    things: list[tuple[Thing, str | None]] = field(init=False)
    """Each with its place; what several chunks show of one event stands once."""
    vague: list[Thing] = field(init=False)

    def __post_init__(self) -> None:
        self.things = []
        known: set[tuple[int, int]] = set()
        for chunk in self.chunks:
            for thing in chunk.things:
                if thing.event is None or thing.event not in known:
                    self.things.append((thing, chunk.place))
                if thing.event is not None:
                    known.add(thing.event)
        brief = [thing for chunk in self.chunks for thing in chunk.vague]
        self.vague = [thing for thing in brief if thing.event is None or thing.event not in known]

    def ask(self, n: int, kinds: Mapping[str, float] | None = None) -> Iterator[QaPair]:
        """Questions of drawn kinds; a kind that the chunks cannot serve is drawn again."""
        weights = kinds or WEIGHTS
        names, parts = list(weights), np.array(list(weights.values()))
        # Most tries succeed; "exist" always does.
        for kind in self.rng.choice(names, size=8 * n, p=parts / parts.sum()):
            if n == 0:
                return
            made = _MAKERS[kind](self)
            if made is not None:
                n -= 1
                yield self._roughen(made)
        while n:
            made = _MAKERS["exist"](self)
            if made is not None:
                n -= 1
                yield made

    def wording(self, kind: str, **parts: str) -> str:
        """One way to ask; the canonical one in four of ten."""
        choices = grammar.TEMPLATES[kind]
        first = self.is_canonical or self.rng.random() < 0.4
        return choices[0 if first else self.rng.integers(len(choices))].format(**parts)

    def some_thing(self, *, card: bool | None = None) -> tuple[Thing, str | None] | None:
        """Any thing that is shown, or none of that sort."""
        fit = [pair for pair in self.things if card is None or (pair[0].kind == "card") == card]
        return fit[self.rng.integers(len(fit))] if fit else None

    def values(self, name: Name, fact: Callable[[Thing], object]) -> set[object]:
        """All values that a fact takes among things of a name."""
        return {fact(thing) for thing, _ in self.things if thing.fits(name)}

    def is_vague(self, name: Name) -> bool:
        """Whether something seen too briefly may be meant."""
        return any(
            vague.kind == name.kind and (None in (vague.colour, name.colour)
                                         or vague.colour == name.colour)
            for vague in self.vague
        )  # fmt: skip

    def absent(self) -> Name | None:
        """A name that nothing here bears; half of them are near misses."""
        for _ in range(6):
            name = self._any_name()
            seen = self.some_thing()
            if seen and self.rng.random() < 0.5:
                thing = seen[0]
                name = Name(thing.kind, thing.colour and name.colour, thing.shape)
                if thing.kind == "card" and self.rng.random() < 0.5:
                    name = Name("card", thing.colour, str(self.rng.choice(SHAPES)))
                name = Name(name.kind, name.colour or _colour(name.kind, self.rng), name.shape)
            if not self.values(name, lambda _: 1) and not self.is_vague(name):
                return name
        return None

    def full_name(self, thing: Thing) -> Name | None:
        """The thing's whole name, if nothing vague could be meant by it."""
        name = Name(thing.kind, thing.colour, thing.shape)
        return None if self.is_vague(name) else name

    def _any_name(self) -> Name:
        if self.rng.random() < 0.5:
            shape = str(self.rng.choice(SHAPES)) if self.rng.random() < 0.7 else None
            return Name("card", _colour("card", self.rng), shape)
        kind = str(self.rng.choice(KIND_NAMES[:-1]))
        colour = _colour(kind, self.rng) if self.rng.random() < 0.7 else None
        return Name(kind, colour)

    def _roughen(self, made: QaPair) -> QaPair:
        text, rng = made.text, self.rng
        if self.is_canonical:
            return made
        if rng.random() < 0.1:
            text = text.lower()
        if rng.random() < 0.1:
            text = text.rstrip("?.")
        return QaPair(made.kind, text, made.answer)


def _colour(kind: str, rng: np.random.Generator) -> str | None:
    return None if kind == "dog" else COLOUR_NAMES[rng.integers(len(COLOUR_NAMES))]


def _ask_colour(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing()
    if seen is None or seen[0].colour is None:
        return None
    name = Name(seen[0].kind, None, seen[0].shape)
    if len(quiz.values(name, lambda t: t.colour)) != 1 or quiz.is_vague(name):
        return None
    text = quiz.wording("colour", thing=f"the {name}")
    return QaPair("colour", text, grammar.sentence(seen[0].colour))


def _ask_shape(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing(card=True)
    if seen is None:
        return None
    thing = seen[0]
    if len(quiz.values(Name("card", thing.colour), lambda t: t.shape)) != 1:
        return None
    text = quiz.wording("shape", colour=str(thing.colour))
    return QaPair("shape", text, grammar.sentence(grammar.an(str(thing.shape))))


def _ask_code(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing(card=True)
    if seen is None:
        return None
    thing = seen[0]
    name = Name("card", thing.colour, thing.shape)
    if not quiz.is_canonical and quiz.rng.random() < 0.2:
        name = Name("card", *((thing.colour, None) if quiz.rng.random() < 0.5
                              else (None, thing.shape)))  # fmt: skip
    if len(quiz.values(name, lambda t: t.code)) != 1:
        return None
    return QaPair("code", quiz.wording("code", thing=f"the {name}"), f"{thing.code}.")


def _ask_which(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing(card=True)
    if seen is None:
        return None
    code = seen[0].code
    same = {(t.colour, t.shape) for t, _ in quiz.things if t.code == code}
    if len(same) != 1:
        return None
    name = Name("card", seen[0].colour, seen[0].shape)
    text = quiz.wording("which", code=str(code))
    return QaPair("which", text, grammar.sentence(f"the {name}"))


def _ask_exist(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing() if quiz.rng.random() < 0.5 else None
    if seen is not None:
        thing = seen[0]
        name = Name(thing.kind, thing.colour, thing.shape)
        if quiz.rng.random() < 0.3:
            name = Name(thing.kind, *((thing.colour, None) if quiz.rng.random() < 0.5
                                      else (None, thing.shape)))  # fmt: skip
        return QaPair("exist", quiz.wording("exist", a_thing=grammar.an(str(name))), grammar.YES)
    missing = quiz.absent()
    if missing is None:
        return None
    text = quiz.wording("exist", a_thing=grammar.an(str(missing)))
    return QaPair("exist", text, grammar.NO)


def _ask_direction(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing(card=False)
    if seen is None or seen[0].direction is None:
        return None
    thing = seen[0]
    names = [Name(thing.kind, thing.colour)]
    if quiz.rng.random() < 0.3:
        names.insert(0, Name(thing.kind))
    for name in names:
        if len(quiz.values(name, lambda t: t.direction)) == 1 and not quiz.is_vague(name):
            text = quiz.wording("direction", thing=f"the {name}")
            return QaPair("direction", text, f"To the {thing.direction}.")
    return None


def _ask_where(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing(card=False)
    if seen is None or seen[1] is None:
        return None
    thing, place = seen
    name = quiz.full_name(thing)
    if name is None or len({at for t, at in quiz.things if t.fits(name)}) != 1:
        return None
    text = quiz.wording("where", thing=f"the {name}")
    return QaPair("where", text, grammar.sentence(grammar.WHERE[str(place)]))


def _ask_when(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing()
    name = quiz.full_name(seen[0]) if seen else None
    if name is None:
        return None
    return QaPair("when", quiz.wording("when", thing=f"the {name}"), grammar.AT_THE_MOMENT)


def _ask_place(quiz: QuestionSampler) -> QaPair | None:
    places = {chunk.place for chunk in quiz.chunks}
    if len(places) != 1:
        return None
    place = places.pop()
    answer = grammar.CANNOT_TELL if place is None else grammar.sentence(grammar.an(place))
    return QaPair("place", quiz.wording("place"), answer)


def _ask_light(quiz: QuestionSampler) -> QaPair | None:
    lights = {chunk.light for chunk in quiz.chunks}
    if len(lights) != 1:
        return None
    light = lights.pop()
    answer = grammar.CANNOT_TELL if light is None else f"It is {light}."
    return QaPair("light", quiz.wording("light"), answer)


def _two_things(quiz: QuestionSampler) -> tuple[Name, Name] | None:
    """Two things of different names, in time order, neither of which comes again later."""
    if len(quiz.things) < 2:
        return None
    first, second = np.sort(quiz.rng.choice(len(quiz.things), size=2, replace=False))
    one, two = quiz.things[first][0], quiz.things[second][0]
    names = quiz.full_name(one), quiz.full_name(two)
    for name in names:
        if name is None or sum(t.fits(name) for t, _ in quiz.things) != 1:
            return None
    return names  # type: ignore[return-value]


def _ask_first(quiz: QuestionSampler) -> QaPair | None:
    pair = _two_things(quiz)
    if pair is None:
        return None
    thing, other = pair if quiz.rng.random() < 0.5 else pair[::-1]
    text = quiz.wording("first", thing=f"the {thing}", other=f"the {other}")
    return QaPair("first", text, grammar.sentence(f"the {pair[0]}"))


def _ask_before(quiz: QuestionSampler) -> QaPair | None:
    pair = _two_things(quiz)
    if pair is None:
        return None
    is_right = bool(quiz.rng.random() < 0.5)
    kind = "before" if quiz.is_canonical or quiz.rng.random() < 0.7 else "after"
    thing, other = pair if is_right == (kind == "before") else pair[::-1]
    text = quiz.wording(kind, thing=f"the {thing}", other=f"the {other}")
    # Naming the first one is what the reader learns; a bare yes or no stayed at chance.
    return QaPair("before", text, grammar.sentence(f"the {pair[0]} came first"))


def _ask_count(quiz: QuestionSampler) -> QaPair | None:
    seen = quiz.some_thing()
    kind = seen[0].kind if seen and quiz.rng.random() < 0.8 else str(quiz.rng.choice(KIND_NAMES))
    n = sum(thing.kind == kind for thing, _ in quiz.things)
    if quiz.is_vague(Name(kind)) or n >= len(grammar.COUNTS):
        return None
    return QaPair("count", quiz.wording("count", things=grammar.PLURALS[kind]), grammar.COUNTS[n])


def _ask_describe(quiz: QuestionSampler) -> QaPair | None:
    if len(quiz.chunks) != 1 or quiz.chunks[0].vague:
        return None
    chunk = quiz.chunks[0]
    said = [thing.caption for thing in chunk.things]
    if chunk.place and chunk.light:
        said.insert(0, grammar.scene_caption(chunk.place, chunk.light))
    return QaPair("describe", quiz.wording("describe"), " ".join(said) or grammar.CANNOT_TELL)


def _ask_absent(quiz: QuestionSampler) -> QaPair | None:
    name = quiz.absent()
    if name is None:
        return None
    kinds = ["colour", "direction", "where", "when"]
    if name.kind == "card":
        kinds = ["colour", "code", "code", "when"]
        if name.shape is None and name.colour is not None:
            kinds += ["shape"] * 2
    kind = str(quiz.rng.choice(kinds))
    if kind == "colour":
        name = Name(name.kind, None, name.shape)
        if quiz.values(name, lambda _: 1) or quiz.is_vague(name) or name.kind == "dog":
            return None
    text = quiz.wording(kind, thing=f"the {name}", colour=str(name.colour))
    return QaPair("absent", text, grammar.CANNOT_TELL)


def _ask_outside(quiz: QuestionSampler) -> QaPair | None:
    text = outside_question(quiz.rng, held_out=quiz.held_out)
    return QaPair("outside", text, grammar.CANNOT_TELL)


_MAKERS: Final[Mapping[str, Callable[[QuestionSampler], QaPair | None]]] = MappingProxyType(
    {
        "colour": _ask_colour,
        "shape": _ask_shape,
        "code": _ask_code,
        "which": _ask_which,
        "exist": _ask_exist,
        "direction": _ask_direction,
        "where": _ask_where,
        "when": _ask_when,
        "place": _ask_place,
        "light": _ask_light,
        "first": _ask_first,
        "before": _ask_before,
        "count": _ask_count,
        "describe": _ask_describe,
        "absent": _ask_absent,
        "outside": _ask_outside,
    }
)
KINDS: Final = tuple(_MAKERS)
WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "colour": 1.0,
        "shape": 0.8,
        "code": 2.5,
        "which": 1.6,
        "exist": 1.2,
        "direction": 1.0,
        "where": 0.6,
        "when": 0.4,
        "place": 0.3,
        "light": 0.3,
        "first": 2.2,
        "before": 1.8,
        "count": 1.2,
        "describe": 1.0,
        "absent": 1.0,
        "outside": 0.5,
    }
)
"""How often each kind is drawn in training; codes are the hardest to learn."""
REEL_WEIGHTS: Final = MappingProxyType({**WEIGHTS, "count": 4.0, "which": 1.2, "code": 1.5})
"""The same of whole reels, which are what counting is learnt from."""
POLISH_WEIGHTS: Final = MappingProxyType(
    {**WEIGHTS, "colour": 3.0, "exist": 3.0, "absent": 2.0, "count": 2.0, "code": 2.0}
)
"""Of a second schedule: what a full memory still mixes up after the first."""
