"""Whole stories behind one camera: chunks that follow each other, and events across their borders.

What a chunk shows is learnt from clips of one chunk. Counting needs more: a car that leaves chunk 3
and drives on in chunk 4 is one car. A story is such a stretch of eight chunks.
"""

from typing import Final

import numpy as np
from jaxtyping import Int16, UInt8

from engine.synthetic.story import draw_story
from engine.training.nano.captions import FIELDS
from engine.training.nano.frame_bank import (
    CHUNK_FRAMES,
    DRAWN_H,
    DRAWN_W,
    SIDE_PX,
    compressed,
    event_row,
    is_visible,
    squash,
)

STORY_CHUNKS: Final = 8
STORY_FRAMES: Final = STORY_CHUNKS * CHUNK_FRAMES
MAX_STORY_EVENTS: Final = 8
_FIRST_STORY: Final = 10_000_000
"""Far above the seeds of demo, probes, calibration and reports."""
_STORIES_APART: Final = 1_000_000


def draw_stories(
    seed: int, n_stories: int, *, held_out: bool
) -> tuple[
    UInt8[np.ndarray, "item frame side side 3"],
    Int16[np.ndarray, "item frame field"],
    Int16[np.ndarray, "item event extent"],
]:
    """Draw stories of 64 frames at one frame a second, as the product draws them.

    Args:
        seed: The same seed gives the same stories.
        n_stories: How many.
        held_out: Only cards that are never shown in training.
    Returns:
        Frames; facts of each frame; and each story's events as the fields and then the first and
        the last frame that shows them, -1 where there is no event.
    """
    rng = np.random.default_rng([seed, 25])
    frames = np.empty((n_stories, STORY_FRAMES, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    facts = np.full((n_stories, STORY_FRAMES, len(FIELDS)), -1, dtype=np.int16)
    events = np.full((n_stories, MAX_STORY_EVENTS, len(FIELDS) + 2), -1, dtype=np.int16)
    for idx in range(n_stories):
        story = draw_story(
            _FIRST_STORY + seed * _STORIES_APART + idx,
            STORY_FRAMES,
            1.0,
            height_px=DRAWN_H,
            width_px=DRAWN_W,
            events_per_minute=float(rng.uniform(1.0, 8.0)),
            shot_s=STORY_FRAMES,
            held_out=held_out,
        )
        quality = int(rng.integers(25, 96)) if rng.random() < 0.4 else None
        for frame_idx, frame in enumerate(story):
            frames[idx, frame_idx] = squash(compressed(frame, quality))
        empty = event_row(story.events[0])[6:]
        facts[idx, :, 6:8] = empty
        for slot, event in enumerate(story.events):
            visible = [at_s for at_s in range(STORY_FRAMES) if is_visible(event, at_s)]
            if visible:
                facts[idx, visible] = event_row(event)
                events[idx, slot, : len(FIELDS)] = event_row(event)
                events[idx, slot, len(FIELDS) :] = visible[0], visible[-1]
    return frames, facts, events
