"""Chunks put together from the bank, and questions about the ones that a reader recalls.

A reader is one recalled memory: some chunks in time order and several questions about them. All
answers follow from the facts of the chunks, so nothing needs a label by hand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Int16, Int64

from engine.training.phrases import CARD, COLOUR_NAMES, FIELDS, KIND_NAMES
from engine.world import grammar
from engine.world.actors import DIRECTIONS
from engine.world.outside import outside_question
from engine.world.palette import SHAPES
from engine.world.scene import LIGHTS, PLACES


@dataclass(frozen=True, slots=True)
class Thing:
    """A card or an actor that a chunk shows."""

    kind: str
    colour: str | None
    shape: str | None
    code: str | None
    direction: str | None
    first_frame: int

    def fits(self, wanted: "Name") -> bool:
        """Whether a name may mean this thing."""
        return (
            wanted.kind == self.kind
            and wanted.colour in (None, self.colour)
            and wanted.shape in (None, self.shape)
        )

    @property
    def caption(self) -> str:
        """What it does or shows, as one sentence."""
        if self.kind == "card":
            return grammar.card_caption(str(self.colour), str(self.shape), str(self.code))
        return grammar.actor_caption(self.kind, self.colour, self.direction)


@dataclass(frozen=True, slots=True)
class Name:
    """What a question calls a thing; `None` leaves a fact open."""

    kind: str
    colour: str | None = None
    shape: str | None = None

    def __str__(self) -> str:
        return grammar.thing_phrase(self.kind, self.colour, self.shape)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: which pictures it is made of, and what they show."""

    clip: int
    """Index of the background clip; real footage counts behind the drawn clips."""
    cards: tuple[tuple[int, int, int], ...]
    """Card index, first frame, frames."""
    things: tuple[Thing, ...]
    vague: tuple[Name, ...] = ()
    """Seen too briefly to be asked for; must not be called absent either."""
    place: str | None = None
    light: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its right answer."""

    kind: str
    text: str
    answer: str


@dataclass(slots=True)
class Facts:
    """The bank's facts, without its pictures."""

    clips: Int16[np.ndarray, "clip frame field"]
    events: Int16[np.ndarray, "clip event extent"]
    cards: Int16[np.ndarray, "card field"]
    n_real: int


def draw_chunk(rng: np.random.Generator, facts: Facts, *, real: float, cards: float) -> Chunk:
    """Put a chunk together.

    Args:
        rng: Source of chance.
        facts: What there is to choose from.
        real: Share of chunks over real footage.
        cards: Mean number of cards in a chunk, at most two.
    """
    n_cards = int(rng.binomial(2, cards / 2))
    held, taken = [], np.zeros(8, dtype=bool)
    for _ in range(n_cards):
        length = int(rng.choice((1, 1, 2, 3)))
        start = int(rng.integers(0, 9 - length))
        if not taken[max(0, start - 1) : start + length + 1].any():
            taken[start : start + length] = True
            held.append((int(rng.integers(len(facts.cards))), start, length))
    things = [thing_of(facts.cards[idx], start) for idx, start, _ in held]
    if rng.random() < real:
        clip = len(facts.clips) + int(rng.integers(facts.n_real))
        return Chunk(clip, tuple(held), _in_order(things))
    clip = int(rng.integers(len(facts.clips)))
    shown, vague = _passers(facts, clip, taken)
    place, light = facts.clips[clip, 0, 6:8]
    return Chunk(clip, tuple(held), _in_order([*things, *shown]), vague,
                 PLACES[place], LIGHTS[light])  # fmt: skip


def _passers(facts: Facts, clip: int, hidden: np.ndarray) -> tuple[list[Thing], tuple[Name, ...]]:
    """Actors of a clip that two frames or more still show, and those cut shorter."""
    shown, vague = [], []
    known = {tuple(row[:2]) for row in facts.events[clip] if row[0] >= 0}
    for row in facts.events[clip]:
        if row[0] < 0:
            continue
        frames = [at for at in range(row[-2], row[-1] + 1) if not hidden[at]]
        if len(frames) >= 2:
            shown.append(thing_of(row, frames[0]))
        else:
            vague.append(_name(row))
    for row in facts.clips[clip]:
        if row[0] >= 0 and tuple(row[:2]) not in known:
            vague.append(_name(row))
    return shown, tuple(vague)


def thing_of(row: np.ndarray, first_frame: int) -> Thing:
    """The card or actor of a row of facts, in words."""
    is_card = bool(row[0] == CARD)
    return Thing(
        kind=KIND_NAMES[row[0]],
        colour=COLOUR_NAMES[row[1]] if row[1] >= 0 else None,
        shape=SHAPES[row[2]] if is_card else None,
        code=f"{row[3]}{row[4]}" if is_card else None,
        direction=DIRECTIONS[row[5]] if row[5] >= 0 else None,
        first_frame=first_frame,
    )


def _name(row: np.ndarray) -> Name:
    return Name(KIND_NAMES[row[0]], COLOUR_NAMES[row[1]] if row[1] >= 0 else None)


def _in_order(things: Sequence[Thing]) -> tuple[Thing, ...]:
    return tuple(sorted(things, key=lambda thing: thing.first_frame))


@dataclass(slots=True)
class Quiz:
    """What a reader can be asked about its chunks, in time order."""

    rng: np.random.Generator
    chunks: Sequence[Chunk]
    held_out: bool = False
    """Whether outside questions come from the half kept for evaluation."""
    is_canonical: bool = False
    """Whether only the first wording of each question is used."""
    things: list[tuple[Thing, str | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.things = [(thing, chunk.place) for chunk in self.chunks for thing in chunk.things]

    def ask(self, n: int, kinds: Mapping[str, float] | None = None) -> Iterator[Asked]:
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
            for chunk in self.chunks
            for vague in chunk.vague
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

    def _roughen(self, made: Asked) -> Asked:
        text, rng = made.text, self.rng
        if self.is_canonical:
            return made
        if rng.random() < 0.1:
            text = text.lower()
        if rng.random() < 0.1:
            text = text.rstrip("?.")
        return Asked(made.kind, text, made.answer)


def _colour(kind: str, rng: np.random.Generator) -> str | None:
    return None if kind == "dog" else COLOUR_NAMES[rng.integers(len(COLOUR_NAMES))]


def _ask_colour(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing()
    if seen is None or seen[0].colour is None:
        return None
    name = Name(seen[0].kind, None, seen[0].shape)
    if len(quiz.values(name, lambda t: t.colour)) != 1 or quiz.is_vague(name):
        return None
    text = quiz.wording("colour", thing=f"the {name}")
    return Asked("colour", text, grammar.sentence(seen[0].colour))


def _ask_shape(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing(card=True)
    if seen is None:
        return None
    thing = seen[0]
    if len(quiz.values(Name("card", thing.colour), lambda t: t.shape)) != 1:
        return None
    text = quiz.wording("shape", colour=str(thing.colour))
    return Asked("shape", text, grammar.sentence(grammar.an(str(thing.shape))))


def _ask_code(quiz: Quiz) -> Asked | None:
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
    return Asked("code", quiz.wording("code", thing=f"the {name}"), f"{thing.code}.")


def _ask_which(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing(card=True)
    if seen is None:
        return None
    code = seen[0].code
    same = {(t.colour, t.shape) for t, _ in quiz.things if t.code == code}
    if len(same) != 1:
        return None
    name = Name("card", seen[0].colour, seen[0].shape)
    text = quiz.wording("which", code=str(code))
    return Asked("which", text, grammar.sentence(f"the {name}"))


def _ask_exist(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing() if quiz.rng.random() < 0.5 else None
    if seen is not None:
        thing = seen[0]
        name = Name(thing.kind, thing.colour, thing.shape)
        if quiz.rng.random() < 0.3:
            name = Name(thing.kind, *((thing.colour, None) if quiz.rng.random() < 0.5
                                      else (None, thing.shape)))  # fmt: skip
        return Asked("exist", quiz.wording("exist", a_thing=grammar.an(str(name))), grammar.YES)
    missing = quiz.absent()
    if missing is None:
        return None
    text = quiz.wording("exist", a_thing=grammar.an(str(missing)))
    return Asked("exist", text, grammar.NO)


def _ask_direction(quiz: Quiz) -> Asked | None:
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
            return Asked("direction", text, f"To the {thing.direction}.")
    return None


def _ask_where(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing(card=False)
    if seen is None or seen[1] is None:
        return None
    thing, place = seen
    name = quiz.full_name(thing)
    if name is None or len({at for t, at in quiz.things if t.fits(name)}) != 1:
        return None
    text = quiz.wording("where", thing=f"the {name}")
    return Asked("where", text, grammar.sentence(grammar.WHERE[str(place)]))


def _ask_when(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing()
    name = quiz.full_name(seen[0]) if seen else None
    if name is None:
        return None
    return Asked("when", quiz.wording("when", thing=f"the {name}"), grammar.AT_THE_MOMENT)


def _ask_place(quiz: Quiz) -> Asked | None:
    places = {chunk.place for chunk in quiz.chunks}
    if len(places) != 1:
        return None
    place = places.pop()
    answer = grammar.CANNOT_TELL if place is None else grammar.sentence(grammar.an(place))
    return Asked("place", quiz.wording("place"), answer)


def _ask_light(quiz: Quiz) -> Asked | None:
    lights = {chunk.light for chunk in quiz.chunks}
    if len(lights) != 1:
        return None
    light = lights.pop()
    answer = grammar.CANNOT_TELL if light is None else f"It is {light}."
    return Asked("light", quiz.wording("light"), answer)


def _two_things(quiz: Quiz) -> tuple[Name, Name] | None:
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


def _ask_first(quiz: Quiz) -> Asked | None:
    pair = _two_things(quiz)
    if pair is None:
        return None
    thing, other = pair if quiz.rng.random() < 0.5 else pair[::-1]
    text = quiz.wording("first", thing=f"the {thing}", other=f"the {other}")
    return Asked("first", text, grammar.sentence(f"the {pair[0]}"))


def _ask_before(quiz: Quiz) -> Asked | None:
    pair = _two_things(quiz)
    if pair is None:
        return None
    is_right = bool(quiz.rng.random() < 0.5)
    kind = "before" if quiz.is_canonical or quiz.rng.random() < 0.7 else "after"
    thing, other = pair if is_right == (kind == "before") else pair[::-1]
    text = quiz.wording(kind, thing=f"the {thing}", other=f"the {other}")
    # Naming the first one is what the reader learns; a bare yes or no stayed at chance.
    return Asked("before", text, grammar.sentence(f"the {pair[0]} came first"))


def _ask_count(quiz: Quiz) -> Asked | None:
    seen = quiz.some_thing()
    kind = seen[0].kind if seen and quiz.rng.random() < 0.8 else str(quiz.rng.choice(KIND_NAMES))
    n = sum(thing.kind == kind for thing, _ in quiz.things)
    if quiz.is_vague(Name(kind)) or n >= len(grammar.COUNTS):
        return None
    return Asked("count", quiz.wording("count", things=grammar.PLURALS[kind]), grammar.COUNTS[n])


def _ask_describe(quiz: Quiz) -> Asked | None:
    if len(quiz.chunks) != 1 or quiz.chunks[0].vague:
        return None
    chunk = quiz.chunks[0]
    said = [thing.caption for thing in chunk.things]
    if chunk.place and chunk.light:
        said.insert(0, grammar.scene_caption(chunk.place, chunk.light))
    return Asked("describe", quiz.wording("describe"), " ".join(said) or grammar.CANNOT_TELL)


def _ask_absent(quiz: Quiz) -> Asked | None:
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
    return Asked("absent", text, grammar.CANNOT_TELL)


def _ask_outside(quiz: Quiz) -> Asked | None:
    text = outside_question(quiz.rng, held_out=quiz.held_out)
    return Asked("outside", text, grammar.CANNOT_TELL)


_MAKERS: Final[Mapping[str, Callable[[Quiz], Asked | None]]] = MappingProxyType(
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
        "which": 0.8,
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

Ids = Int64[np.ndarray, " token"]


def frame_facts(chunk: Chunk, facts: Facts) -> Int16[np.ndarray, "frame field"]:
    """What each frame of a chunk shows, -1 where unknown."""
    rows = np.full((8, len(FIELDS)), -1, dtype=np.int16)
    if chunk.clip < len(facts.clips):
        rows[:] = facts.clips[chunk.clip]
    for card, start, length in chunk.cards:
        rows[start : start + length] = facts.cards[card]
    return rows
