"""Whole stories behind one camera: chunks that follow each other, and events across their borders.

Clips of one chunk teach what a chunk shows. Counting needs more: a car that leaves chunk 3 and
drives on in chunk 4 is one car. A reel is such a stretch of eight chunks.
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
    is_seen,
    squash,
)

REEL_CHUNKS: Final = 8
REEL_FRAMES: Final = REEL_CHUNKS * CHUNK_FRAMES
MAX_REEL_EVENTS: Final = 8
_FIRST_STORY: Final = 10_000_000
"""Far above the seeds of demo, probes, calibration and reports."""
_STORIES_APART: Final = 1_000_000


def draw_reels(
    seed: int, n_reels: int, *, held_out: bool
) -> tuple[
    UInt8[np.ndarray, "item frame side side 3"],
    Int16[np.ndarray, "item frame field"],
    Int16[np.ndarray, "item event extent"],
]:
    """Stories of 64 frames at one frame a second, as the product draws them.

    Args:
        seed: The same seed gives the same reels.
        n_reels: How many.
        held_out: Only cards that are never shown in training.
    Returns:
        Frames; facts of each frame; and each reel's events as the fields and then the first and
        the last frame that shows them, -1 where there is no event.
    """
    rng = np.random.default_rng([seed, 25])
    frames = np.empty((n_reels, REEL_FRAMES, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    facts = np.full((n_reels, REEL_FRAMES, len(FIELDS)), -1, dtype=np.int16)
    events = np.full((n_reels, MAX_REEL_EVENTS, len(FIELDS) + 2), -1, dtype=np.int16)
    for idx in range(n_reels):
        story = draw_story(
            _FIRST_STORY + seed * _STORIES_APART + idx,
            REEL_FRAMES,
            1.0,
            height_px=DRAWN_H,
            width_px=DRAWN_W,
            events_per_minute=float(rng.uniform(1.0, 8.0)),
            shot_s=REEL_FRAMES,
            held_out=held_out,
        )
        quality = int(rng.integers(25, 96)) if rng.random() < 0.4 else None
        for at, frame in enumerate(story):
            frames[idx, at] = squash(compressed(frame, quality))
        empty = event_row(story.events[0])[6:]
        facts[idx, :, 6:8] = empty
        for slot, event in enumerate(story.events):
            seen = [at for at in range(REEL_FRAMES) if is_seen(event, at)]
            if seen:
                facts[idx, seen] = event_row(event)
                events[idx, slot, : len(FIELDS)] = event_row(event)
                events[idx, slot, len(FIELDS) :] = seen[0], seen[-1]
    return frames, facts, events
