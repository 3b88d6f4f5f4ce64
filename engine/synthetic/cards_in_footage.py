"""Filmed footage in which drawn cards are held up: known events in real pictures.

Unlike a needle of one frame, a card has a beginning and an end between the frames, as things in
real recordings do, so that the edges of evidence can be judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.records import TimeSpan
from engine.synthetic.canvas import Pixels
from engine.synthetic.cards import draw_card, hold_card
from engine.synthetic.scene import draw_scene
from engine.synthetic.story import CARD_S, Event, random_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Footage with cards; frames are made as they are asked for."""

    footage: Sequence[Pixels]
    """Repeated from its start where it is shorter."""
    fps: float | int
    n_frames: int
    events: tuple[Event, ...]

    def __iter__(self) -> Iterator[Pixels]:
        """Yield all frames in order, RGB `h w 3`; the footage itself is never drawn on."""
        for idx in range(self.n_frames):
            yield self._frame(idx)

    def _frame(self, idx: int) -> Pixels:
        pixels = self.footage[idx % len(self.footage)]
        for event in self.events:
            if event.card and event.span.contains(idx / self.fps):
                held = pixels.copy()
                card = draw_card(event.card, held.shape[0], held.shape[1])
                hold_card(held, card, np.random.default_rng(event.seed))
                return held
        return pixels


def plant_cards(
    footage: Sequence[Pixels],
    *,
    seed: int,
    fps: float | int,
    n_frames: int,
    cards_per_minute: float | int = 3.0,
    held_out: bool = True,
) -> Planted:
    """Hold up cards in footage, one in each of equal stretches, no two with one name.

    Args:
        footage: Frames at `fps`.
        seed: The same seed plants the same cards at the same times.
        fps: Frames a second.
        n_frames: Length of the result.
        cards_per_minute: How many; at least one in all.
        held_out: Only cards that nano never saw in training.
    """
    if not footage:
        raise ValueError("cards need at least one frame of footage")
    duration_s = n_frames / fps
    if duration_s < CARD_S[1]:
        raise ValueError(f"a card takes up to {CARD_S[1]} s, the footage only {duration_s:.1f} s")
    rng = np.random.default_rng([seed, 23])
    scene = draw_scene(rng, 8, 8)
    most = int(duration_s // CARD_S[1])
    n_cards = min(most, max(1, round(duration_s * cards_per_minute / 60)))
    slot_s = duration_s / n_cards
    events: dict[str, Event] = {}
    for slot in range(n_cards):
        start_s = slot * slot_s + float(rng.uniform(0, slot_s - CARD_S[1]))
        for _ in range(40):
            event = random_event(rng, scene, start_s, held_out=held_out, card=True)
            # Nobody knows the footage's own place and light.
            event = replace(event, place="", light="")
            if event.name not in events:
                events[event.name] = event
                break
    return Planted(footage=footage, fps=fps, n_frames=n_frames, events=tuple(events.values()))


def spans_of(events: Sequence[Event]) -> dict[str, tuple[TimeSpan, ...]]:
    """Return when each thing is shown, by its name."""
    spans: dict[str, tuple[TimeSpan, ...]] = {}
    for event in events:
        spans[event.name] = (*spans.get(event.name, ()), event.span)
    return spans
