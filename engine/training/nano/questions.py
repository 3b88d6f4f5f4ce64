"""Questions about the chunks that a context recalls, each with its one right answer.

A context is what one question is answered from: some chunks, in time order.
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
from engine.training.nano.chunks import Chunk, Thing, ThingName


@dataclass(frozen=True, slots=True)
class QaPair:
    """A question with its right answer."""

    kind: str
    text: str
    answer: str


@dataclass(slots=True)
class QuestionSampler:
    """The questions that can be put about some chunks, in time order."""

    rng: np.random.Generator
    chunks: Sequence[Chunk]
    held_out: bool = False
    """Whether outside questions come from the half kept for evaluation."""
    is_canonical: bool = False
    """Whether only the first wording of each question is used."""
    things: list[tuple[Thing, str | None]] = field(init=False)
    """Each with its place; what several chunks show of one event stands once."""
    vague: list[Thing] = field(init=False)
    """Seen too briefly to be asked for, or to be called absent."""

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
        """Put questions of drawn kinds; a kind that the chunks cannot serve is drawn again."""
        weights = kinds or KIND_WEIGHTS
        names, shares = list(weights), np.array(list(weights.values()))
        # Most tries succeed; "exist" always does.
        for kind in self.rng.choice(names, size=8 * n, p=shares / shares.sum()):
            if n == 0:
                return
            pair = _MAKERS[kind](self)
            if pair is not None:
                n -= 1
                yield self._roughen(pair)
        while n:
            pair = _MAKERS["exist"](self)
            if pair is not None:
                n -= 1
                yield pair

    def wording(self, kind: str, **parts: str) -> str:
        """Draw a wording; the canonical one, which probe and demo use, in four of ten draws."""
        choices = grammar.TEMPLATES[kind]
        first = self.is_canonical or self.rng.random() < 0.4
        return choices[0 if first else self.rng.integers(len(choices))].format(**parts)

    def draw_thing(self, *, card: bool | None = None) -> tuple[Thing, str | None] | None:
        """Draw a thing that is shown and its place; `None` if none of that sort is."""
        fit = [pair for pair in self.things if card is None or (pair[0].kind == "card") == card]
        return fit[self.rng.integers(len(fit))] if fit else None

    def values(self, name: ThingName, fact: Callable[[Thing], object]) -> set[object]:
        """Return all values that a fact takes among things of a name."""
        return {fact(thing) for thing, _ in self.things if thing.fits(name)}

    def is_vague(self, name: ThingName) -> bool:
        """Say whether something seen too briefly may be meant."""
        return any(
            vague.kind == name.kind and (None in (vague.colour, name.colour)
                                         or vague.colour == name.colour)
            for vague in self.vague
        )  # fmt: skip

    def absent(self) -> ThingName | None:
        """Draw a name that nothing here bears; half of them are near misses."""
        for _ in range(6):
            name = self._any_name()
            shown = self.draw_thing()
            if shown and self.rng.random() < 0.5:
                thing = shown[0]
                name = ThingName(thing.kind, thing.colour and name.colour, thing.shape)
                if thing.kind == "card" and self.rng.random() < 0.5:
                    name = ThingName("card", thing.colour, str(self.rng.choice(SHAPES)))
                name = ThingName(name.kind, name.colour or _colour(name.kind, self.rng), name.shape)
            if not self.values(name, lambda _: 1) and not self.is_vague(name):
                return name
        return None

    def full_name(self, thing: Thing) -> ThingName | None:
        """Return the thing's whole name, if nothing vague could be meant by it."""
        name = ThingName(thing.kind, thing.colour, thing.shape)
        return None if self.is_vague(name) else name

    def _any_name(self) -> ThingName:
        if self.rng.random() < 0.5:
            shape = str(self.rng.choice(SHAPES)) if self.rng.random() < 0.7 else None
            return ThingName("card", _colour("card", self.rng), shape)
        kind = str(self.rng.choice(KIND_NAMES[:-1]))
        colour = _colour(kind, self.rng) if self.rng.random() < 0.7 else None
        return ThingName(kind, colour)

    def _roughen(self, pair: QaPair) -> QaPair:
        """Write one question in ten in lower case, and one in ten without its end mark."""
        text, rng = pair.text, self.rng
        if self.is_canonical:
            return pair
        if rng.random() < 0.1:
            text = text.lower()
        if rng.random() < 0.1:
            text = text.rstrip("?.")
        return QaPair(pair.kind, text, pair.answer)


def _colour(kind: str, rng: np.random.Generator) -> str | None:
    return None if kind == "dog" else COLOUR_NAMES[rng.integers(len(COLOUR_NAMES))]


def _ask_colour(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing()
    if shown is None or shown[0].colour is None:
        return None
    name = ThingName(shown[0].kind, None, shown[0].shape)
    if len(sampler.values(name, lambda t: t.colour)) != 1 or sampler.is_vague(name):
        return None
    text = sampler.wording("colour", thing=f"the {name}")
    return QaPair("colour", text, grammar.sentence(shown[0].colour))


def _ask_shape(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing(card=True)
    if shown is None:
        return None
    thing = shown[0]
    if len(sampler.values(ThingName("card", thing.colour), lambda t: t.shape)) != 1:
        return None
    text = sampler.wording("shape", colour=str(thing.colour))
    return QaPair("shape", text, grammar.sentence(grammar.an(str(thing.shape))))


def _ask_code(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing(card=True)
    if shown is None:
        return None
    thing = shown[0]
    name = ThingName("card", thing.colour, thing.shape)
    if not sampler.is_canonical and sampler.rng.random() < 0.2:
        name = ThingName("card", *((thing.colour, None) if sampler.rng.random() < 0.5
                              else (None, thing.shape)))  # fmt: skip
    if len(sampler.values(name, lambda t: t.code)) != 1:
        return None
    return QaPair("code", sampler.wording("code", thing=f"the {name}"), f"{thing.code}.")


def _ask_which(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing(card=True)
    if shown is None:
        return None
    code = shown[0].code
    same = {(t.colour, t.shape) for t, _ in sampler.things if t.code == code}
    if len(same) != 1:
        return None
    name = ThingName("card", shown[0].colour, shown[0].shape)
    text = sampler.wording("which", code=str(code))
    return QaPair("which", text, grammar.sentence(f"the {name}"))


def _ask_exist(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing() if sampler.rng.random() < 0.5 else None
    if shown is not None:
        thing = shown[0]
        name = ThingName(thing.kind, thing.colour, thing.shape)
        if sampler.rng.random() < 0.3:
            name = ThingName(thing.kind, *((thing.colour, None) if sampler.rng.random() < 0.5
                                      else (None, thing.shape)))  # fmt: skip
        return QaPair("exist", sampler.wording("exist", a_thing=grammar.an(str(name))), grammar.YES)
    missing = sampler.absent()
    if missing is None:
        return None
    text = sampler.wording("exist", a_thing=grammar.an(str(missing)))
    return QaPair("exist", text, grammar.NO)


def _ask_direction(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing(card=False)
    if shown is None or shown[0].direction is None:
        return None
    thing = shown[0]
    names = [ThingName(thing.kind, thing.colour)]
    if sampler.rng.random() < 0.3:
        names.insert(0, ThingName(thing.kind))
    for name in names:
        if len(sampler.values(name, lambda t: t.direction)) == 1 and not sampler.is_vague(name):
            text = sampler.wording("direction", thing=f"the {name}")
            return QaPair("direction", text, f"To the {thing.direction}.")
    return None


def _ask_where(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing(card=False)
    if shown is None or shown[1] is None:
        return None
    thing, place = shown
    name = sampler.full_name(thing)
    if name is None or len({other for t, other in sampler.things if t.fits(name)}) != 1:
        return None
    text = sampler.wording("where", thing=f"the {name}")
    return QaPair("where", text, grammar.sentence(grammar.WHERE[str(place)]))


def _ask_when(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing()
    name = sampler.full_name(shown[0]) if shown else None
    if name is None:
        return None
    return QaPair("when", sampler.wording("when", thing=f"the {name}"), grammar.AT_THE_MOMENT)


def _ask_place(sampler: QuestionSampler) -> QaPair | None:
    places = {chunk.place for chunk in sampler.chunks}
    if len(places) != 1:
        return None
    place = places.pop()
    answer = grammar.CANNOT_TELL if place is None else grammar.sentence(grammar.an(place))
    return QaPair("place", sampler.wording("place"), answer)


def _ask_light(sampler: QuestionSampler) -> QaPair | None:
    lights = {chunk.light for chunk in sampler.chunks}
    if len(lights) != 1:
        return None
    light = lights.pop()
    answer = grammar.CANNOT_TELL if light is None else f"It is {light}."
    return QaPair("light", sampler.wording("light"), answer)


def _two_things(sampler: QuestionSampler) -> tuple[ThingName, ThingName] | None:
    """Two things of different names, in time order, neither of which comes again later."""
    if len(sampler.things) < 2:
        return None
    first, second = np.sort(sampler.rng.choice(len(sampler.things), size=2, replace=False))
    names = (
        sampler.full_name(sampler.things[first][0]),
        sampler.full_name(sampler.things[second][0]),
    )
    for name in names:
        if name is None or sum(t.fits(name) for t, _ in sampler.things) != 1:
            return None
    return names  # type: ignore[return-value]


def _ask_first(sampler: QuestionSampler) -> QaPair | None:
    pair = _two_things(sampler)
    if pair is None:
        return None
    thing, other = pair if sampler.rng.random() < 0.5 else pair[::-1]
    text = sampler.wording("first", thing=f"the {thing}", other=f"the {other}")
    return QaPair("first", text, grammar.sentence(f"the {pair[0]}"))


def _ask_before(sampler: QuestionSampler) -> QaPair | None:
    pair = _two_things(sampler)
    if pair is None:
        return None
    is_right = bool(sampler.rng.random() < 0.5)
    kind = "before" if sampler.is_canonical or sampler.rng.random() < 0.7 else "after"
    thing, other = pair if is_right == (kind == "before") else pair[::-1]
    text = sampler.wording(kind, thing=f"the {thing}", other=f"the {other}")
    # Naming the first one is what the decoder learns; a bare yes or no stayed at chance.
    return QaPair("before", text, grammar.sentence(f"the {pair[0]} came first"))


def _ask_count(sampler: QuestionSampler) -> QaPair | None:
    shown = sampler.draw_thing()
    kind = (
        shown[0].kind
        if shown and sampler.rng.random() < 0.8
        else str(sampler.rng.choice(KIND_NAMES))
    )
    n = sum(thing.kind == kind for thing, _ in sampler.things)
    if sampler.is_vague(ThingName(kind)) or n >= len(grammar.COUNTS):
        return None
    return QaPair(
        "count", sampler.wording("count", things=grammar.PLURALS[kind]), grammar.COUNTS[n]
    )


def _ask_describe(sampler: QuestionSampler) -> QaPair | None:
    if len(sampler.chunks) != 1 or sampler.chunks[0].vague:
        return None
    chunk = sampler.chunks[0]
    captions = [thing.caption for thing in chunk.things]
    if chunk.place and chunk.light:
        captions.insert(0, grammar.scene_caption(chunk.place, chunk.light))
    answer = " ".join(captions) or grammar.CANNOT_TELL
    return QaPair("describe", sampler.wording("describe"), answer)


def _ask_absent(sampler: QuestionSampler) -> QaPair | None:
    name = sampler.absent()
    if name is None:
        return None
    kinds = ["colour", "direction", "where", "when"]
    if name.kind == "card":
        kinds = ["colour", "code", "code", "when"]
        if name.shape is None and name.colour is not None:
            kinds += ["shape"] * 2
    kind = str(sampler.rng.choice(kinds))
    if kind == "colour":
        name = ThingName(name.kind, None, name.shape)
        if sampler.values(name, lambda _: 1) or sampler.is_vague(name) or name.kind == "dog":
            return None
    text = sampler.wording(kind, thing=f"the {name}", colour=str(name.colour))
    return QaPair("absent", text, grammar.CANNOT_TELL)


def _ask_outside(sampler: QuestionSampler) -> QaPair | None:
    text = outside_question(sampler.rng, held_out=sampler.held_out)
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
KIND_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
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
"""How often each kind is drawn in training. Chosen by hand, not tuned: codes, the hardest to learn,
come most often."""
STORY_WEIGHTS: Final = MappingProxyType({**KIND_WEIGHTS, "count": 4.0, "which": 1.2, "code": 1.5})
"""The same over stories, which are what counting is learnt from."""
POLISH_WEIGHTS: Final = MappingProxyType(
    {**KIND_WEIGHTS, "colour": 3.0, "exist": 3.0, "absent": 2.0, "count": 2.0, "code": 2.0}
)
"""Of a second schedule: more of what long contexts still mix up after the first."""
