"""Recordings to measure on: stories in which much or little happens, and cards in real footage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jaxtyping import UInt8
from numpy import ndarray

from engine.synthetic.cards_in_footage import Planted, plant_cards
from engine.synthetic.story import Event, Story, draw_story

LENGTHS: Final = (64, 256, 1024)
"""Frames of a recording."""
EVENTS_PER_MINUTE: Final[Mapping[str, float]] = MappingProxyType({"sparse": 1.5, "dense": 6.0})
_MOST_CARDS = 24
"""In one recording: there are 56 colours and shapes, and near misses must be left over."""
FOOTAGE: Final = "cards in footage"
"""The setting of recordings that are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A video whose events are known."""

    setting: str
    """Where and how much happens; recordings of one setting may be counted together."""
    story: Story | Planted

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(self.story.fps)

    @property
    def n_frames(self) -> int:
        """Frames in all."""
        return self.story.n_frames

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that happens, in time order."""
        return self.story.events

    def __iter__(self) -> Iterator[UInt8[ndarray, "h w 3"]]:
        """Yield all frames in order."""
        return iter(self.story)


def recordings(
    fps: float,
    footage: Sequence[UInt8[ndarray, "h w 3"]] = (),
    *,
    lengths: Sequence[int] = LENGTHS,
    frames_each: int,
    seed: int,
) -> Iterator[Recording]:
    """Yield recordings of every length and setting.

    Args:
        fps: Frames a second.
        footage: What somebody filmed, at `fps`; nothing but drawn stories where it is empty.
        lengths: Frames of a recording.
        frames_each: Frames of each length and setting in all; at least one recording is made.
        seed: Of the first recording of each length and setting.
    """
    for length in lengths:
        for number in range(seed, seed + max(1, frames_each // length)):
            for density, per_minute in EVENTS_PER_MINUTE.items():
                story = draw_story(number, length / fps, fps, events_per_minute=per_minute)
                yield Recording(setting=f"drawn, {density}", story=story)
            if footage:
                planted = plant_cards(
                    footage,
                    seed=number,
                    fps=fps,
                    n_frames=length,
                    cards_per_minute=min(3.0, _MOST_CARDS * 60 * fps / length),
                )
                yield Recording(setting=FOOTAGE, story=planted)
