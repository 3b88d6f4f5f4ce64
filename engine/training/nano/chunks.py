"""Chunks put together from the frame bank, and what each of them shows.

A chunk is drawn video, real footage or part of a story, with cards held into some of its frames.
All that can be asked of it follows from the bank's facts, so nothing needs a label by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Int16

from engine.synthetic import grammar
from engine.synthetic.actors import DIRECTIONS
from engine.synthetic.palette import SHAPES
from engine.synthetic.scene import LIGHTS, PLACES
from engine.training.nano.captions import CARD, COLOUR_NAMES, FIELDS, KIND_NAMES
from engine.training.nano.frame_bank import CHUNK_FRAMES


@dataclass(frozen=True, slots=True)
class Thing:
    """A card or an actor that a chunk shows."""

    kind: str
    colour: str | None
    shape: str | None
    code: str | None
    direction: str | None
    first_frame: int
    event: tuple[int, int] | None = None
    """Story and number of its event: chunks that share it show one thing, not two."""

    def fits(self, name: "ThingName") -> bool:
        """Say whether a name may mean this thing."""
        return (
            name.kind == self.kind
            and name.colour in (None, self.colour)
            and name.shape in (None, self.shape)
        )

    @property
    def caption(self) -> str:
        """One sentence on what it does or shows."""
        if self.kind == "card":
            return grammar.card_caption(str(self.colour), str(self.shape), str(self.code))
        return grammar.actor_caption(self.kind, self.colour, self.direction)


@dataclass(frozen=True, slots=True)
class ThingName:
    """The name of a thing in a question; `None` leaves a fact open."""

    kind: str
    colour: str | None = None
    shape: str | None = None

    def __str__(self) -> str:
        return grammar.thing_phrase(self.kind, self.colour, self.shape)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The pictures that a chunk is made of, and what they show."""

    clip: int
    """Index of the background clip; real footage counts behind the drawn clips, and chunks of
    stories behind it."""
    cards: tuple[tuple[int, int, int], ...]
    """Card index, first frame, frames."""
    things: tuple[Thing, ...]
    vague: tuple[Thing, ...] = ()
    """Seen too briefly to be asked for; must not be called absent either."""
    place: str | None = None
    light: str | None = None


_NO_STORIES: Final = np.empty((0, 0, len(FIELDS)), dtype=np.int16)
_NO_EVENTS: Final = np.empty((0, 0, len(FIELDS) + 2), dtype=np.int16)


@dataclass(slots=True)
class Facts:
    """The bank's facts, without its pictures."""

    clips: Int16[np.ndarray, "clip frame field"]
    events: Int16[np.ndarray, "clip event extent"]
    cards: Int16[np.ndarray, "card field"]
    n_real: int
    stories: Int16[np.ndarray, "story second field"] = field(default_factory=lambda: _NO_STORIES)
    story_events: Int16[np.ndarray, "story story_event extent"] = field(
        default_factory=lambda: _NO_EVENTS
    )

    @property
    def first_story(self) -> int:
        """The index that `Chunk.clip` has for the first chunk of the first story."""
        return len(self.clips) + self.n_real


def draw_chunk(rng: np.random.Generator, facts: Facts, *, real: float, cards: float) -> Chunk:
    """Put a chunk together.

    Args:
        rng: Source of chance.
        facts: The frame bank's.
        real: Share of chunks over real footage.
        cards: Mean number of cards in a chunk, at most two.
    """
    held, taken = _hold_cards(rng, facts, cards)
    things = [thing_of(facts.cards[idx], start) for idx, start, _ in held]
    if rng.random() < real:
        clip = len(facts.clips) + int(rng.integers(facts.n_real))
        return Chunk(clip, tuple(held), _in_order(things))
    clip = int(rng.integers(len(facts.clips)))
    shown, vague = _actors(facts, clip, taken)
    place, light = facts.clips[clip, 0, 6:8]
    return Chunk(clip, tuple(held), _in_order([*things, *shown]), vague,
                 PLACES[place], LIGHTS[light])  # fmt: skip


def draw_story_chunks(rng: np.random.Generator, facts: Facts, *, cards: float) -> list[Chunk]:
    """Put the chunks of one story together, in time order, single cards held into some of them.

    Args:
        rng: Source of chance.
        facts: The frame bank's.
        cards: Mean number of added cards in a chunk, at most two.
    """
    story = int(rng.integers(len(facts.stories)))
    n_chunks = facts.stories.shape[1] // CHUNK_FRAMES
    return [_story_chunk(rng, facts, story, number, cards) for number in range(n_chunks)]


def _story_chunk(
    rng: np.random.Generator, facts: Facts, story: int, number: int, cards: float
) -> Chunk:
    held, taken = _hold_cards(rng, facts, cards)
    shown = [thing_of(facts.cards[idx], start) for idx, start, _ in held]
    vague: list[Thing] = []
    start = number * CHUNK_FRAMES
    for event, row in enumerate(facts.story_events[story]):
        frames = [
            frame
            for frame in range(max(row[-2] - start, 0), min(row[-1] - start + 1, CHUNK_FRAMES))
            if row[0] >= 0 and not taken[frame]
        ]
        if frames:
            thing = thing_of(row, frames[0], event=(story, event))
            # One frame shows all of a card; which way an actor goes takes two.
            is_clear = len(frames) >= 2 or row[0] == CARD
            (shown if is_clear else vague).append(thing)
        elif row[0] >= 0 and row[-2] < start + CHUNK_FRAMES and row[-1] >= start:
            vague.append(thing_of(row, 0, event=(story, event)))
    place, light = facts.stories[story, start, 6:8]
    clip = facts.first_story + story * (facts.stories.shape[1] // CHUNK_FRAMES) + number
    return Chunk(clip, tuple(held), _in_order(shown), tuple(vague), PLACES[place], LIGHTS[light])


_Held = list[tuple[int, int, int]]


def _hold_cards(rng: np.random.Generator, facts: Facts, mean: float) -> tuple[_Held, np.ndarray]:
    """Draw cards for a chunk; also say which of its frames they fill."""
    held: _Held = []
    taken = np.zeros(CHUNK_FRAMES, dtype=bool)
    for _ in range(int(rng.binomial(2, mean / 2))):
        length = int(rng.choice((1, 1, 2, 3)))
        start = int(rng.integers(0, CHUNK_FRAMES + 1 - length))
        if not taken[max(0, start - 1) : start + length + 1].any():
            taken[start : start + length] = True
            held.append((int(rng.integers(len(facts.cards))), start, length))
    return held, taken


def _actors(facts: Facts, clip: int, hidden: np.ndarray) -> tuple[list[Thing], tuple[Thing, ...]]:
    """Return the actors of a clip that two frames or more still show, and those cut shorter."""
    shown, vague = [], []
    known = {tuple(row[:2]) for row in facts.events[clip] if row[0] >= 0}
    for row in facts.events[clip]:
        if row[0] < 0:
            continue
        frames = [frame for frame in range(row[-2], row[-1] + 1) if not hidden[frame]]
        if len(frames) >= 2:
            shown.append(thing_of(row, frames[0]))
        else:
            vague.append(thing_of(row, 0))
    for row in facts.clips[clip]:
        if row[0] >= 0 and tuple(row[:2]) not in known:
            vague.append(thing_of(row, 0))
    return shown, tuple(vague)


def thing_of(row: np.ndarray, first_frame: int, event: tuple[int, int] | None = None) -> Thing:
    """Return the card or actor of a row of facts, in words."""
    is_card = bool(row[0] == CARD)
    return Thing(
        kind=KIND_NAMES[row[0]],
        colour=COLOUR_NAMES[row[1]] if row[1] >= 0 else None,
        shape=SHAPES[row[2]] if is_card else None,
        code=f"{row[3]}{row[4]}" if is_card else None,
        direction=DIRECTIONS[row[5]] if row[5] >= 0 else None,
        first_frame=first_frame,
        event=event,
    )


def _in_order(things: Sequence[Thing]) -> tuple[Thing, ...]:
    return tuple(sorted(things, key=lambda thing: thing.first_frame))


def frame_facts(chunk: Chunk, facts: Facts) -> Int16[np.ndarray, "frame field"]:
    """Return what each frame of a chunk shows, -1 where unknown."""
    rows = np.full((CHUNK_FRAMES, len(FIELDS)), -1, dtype=np.int16)
    if chunk.clip >= facts.first_story:
        story, number = divmod(
            chunk.clip - facts.first_story, facts.stories.shape[1] // CHUNK_FRAMES
        )
        rows[:] = facts.stories[story, number * CHUNK_FRAMES : (number + 1) * CHUNK_FRAMES]
    elif chunk.clip < len(facts.clips):
        rows[:] = facts.clips[chunk.clip]
    for card, start, length in chunk.cards:
        rows[start : start + length] = facts.cards[card]
    return rows
