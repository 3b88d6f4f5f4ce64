"""The curriculum of the decoder stage: what each step puts together, compresses and recalls.

`part` is the share of the run that is done, 0 to 1. One chunk is recalled at first, then a few,
then up to sixty-four; stories join after the first fifth. The probabilities and weights here were
chosen by hand, not tuned, unless a comment says more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Int64

from engine.training.nano.chunks import Chunk, Facts, draw_chunk, draw_story_chunks
from engine.training.nano.stories import STORY_CHUNKS

CONTEXTS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {1: (64, 4), 2: (48, 5), 4: (36, 6), 8: (26, 8), 16: (18, 10), 32: (10, 16), 64: (6, 24)}
)
"""Chunks recalled in a context, to contexts in a step and questions each: 256 questions a step over
single chunks, 144 over sixty-four, which cost the most."""
POLISH_FROM: Final = 0.8
"""Where in the curriculum the second schedule begins: its draws are those of the last fifth."""
_SINGLE_FRAME_UNTIL: Final = 0.2
_STORIES_FROM: Final = 0.2
_STORY_SHARE: Final = 0.35
"""Of the steps from `_STORIES_FROM` on; the rest recalls chunks put together by lot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSpec:
    """Number of chunks that a context recalls, and the ratio they are compressed at."""

    n_chunks: int
    ratio: int
    is_story: bool = False
    """Whether the chunks follow each other, as in a video, or were put together by lot."""


def draw_recall(rng: np.random.Generator, part: float, *, with_stories: bool) -> RecallSpec:
    """Draw the recall of one step: few chunks and small ratios early, all of them later."""
    # Not 16 at first: two VSTs for the 32 tokens of a chunk are the hardest to learn.
    odds = (0.2, 0.4, 0.4, 0.0) if part < 0.05 else (0.1, 0.2, 0.45, 0.25)
    ratio = int(rng.choice((2, 4, 8, 16), p=odds))
    if with_stories and part >= _STORIES_FROM and rng.random() < _STORY_SHARE:
        # A whole story is 8 chunks, which most draws take; more are several stories in a row.
        n_chunks = int(rng.choice((2, 4, 8, 16, 32), p=(0.15, 0.2, 0.4, 0.15, 0.1)))
        return RecallSpec(n_chunks=n_chunks, ratio=ratio, is_story=True)
    sizes: tuple[int, ...]
    weights: tuple[float, ...] | None
    if part < 0.1:
        sizes, weights = (1,), None
    elif part < 0.2:
        sizes, weights = (1, 2, 4), None
    elif part < 0.4:
        sizes, weights = (1, 2, 4, 8, 16), (0.3, 0.25, 0.2, 0.15, 0.1)
    else:
        # Long contexts are the rarest: they cost the most and ask the fewest questions a step.
        sizes, weights = (1, 2, 4, 8, 16, 32, 64), (0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05)
    return RecallSpec(n_chunks=int(rng.choice(sizes, p=weights)), ratio=ratio)


def draw_step_chunks(
    rng: np.random.Generator, facts: Facts, n_chunks: int, *, is_story: bool
) -> list[Chunk]:
    """Put together the chunks of one step: whole stories, or single chunks by lot."""
    if is_story:
        n_stories, cards = max(1, n_chunks // STORY_CHUNKS), float(rng.choice([0, 0.1, 0.4]))
        stories = (draw_story_chunks(rng, facts, cards=cards) for _ in range(n_stories))
        return [chunk for story in stories for chunk in story]
    cards = float(rng.choice([0.1, 0.4, 0.8, 1.2], p=[0.1, 0.25, 0.4, 0.25]))
    real = float(rng.choice([0.05, 0.25, 0.5, 0.9], p=[0.35, 0.3, 0.2, 0.15]))
    return [draw_chunk(rng, facts, real=real, cards=cards) for _ in range(n_chunks)]


def draw_chunks_per_video(rng: np.random.Generator, recall: RecallSpec, n_chunks: int) -> int:
    """Draw how many of a step's chunks follow each other in one compressed video."""
    return min(int(rng.choice([8, 16] if recall.is_story else [1, 2, 4, 8])), n_chunks)


def draw_past(rng: np.random.Generator) -> int:
    """Draw how many chunks each chunk looks back on; 8 is the product's default."""
    return int(rng.choice([0, 1, 2, 4, 8]))


def pick_recalled(
    rng: np.random.Generator, n_chunks: int, n_contexts: int, recall: RecallSpec
) -> Int64[np.ndarray, "context chunk"]:
    """Pick the chunks that each context recalls, in what stands for time order."""
    if recall.is_story:
        rows = [_pick_in_order(rng, n_chunks, recall.n_chunks) for _ in range(n_contexts)]
        return np.stack(rows)
    if recall.n_chunks == 1:
        return rng.permutation(n_chunks)[:n_contexts, None]
    rows = [rng.choice(n_chunks, recall.n_chunks, replace=False) for _ in range(n_contexts)]
    picked = np.stack(rows)
    # Chunks put together by lot have no order of their own; the one of their videos in three of
    # ten draws.
    return np.sort(picked, 1) if rng.random() < 0.3 else picked


def summary_weight(part: float) -> float:
    """Return the weight of summary supervision beside the loss over answers, which is 1.

    Halved for the last two fifths, so that the answers decide what a VST keeps.
    """
    return 0.15 if part > 0.6 else 0.3


def has_single_frames(part: float) -> bool:
    """Whether single frames must be named too, before compression: only the projector's start."""
    return part < _SINGLE_FRAME_UNTIL


def _pick_in_order(
    rng: np.random.Generator, n_chunks: int, n_recalled: int
) -> Int64[np.ndarray, " chunk"]:
    """Pick whole stories, or of one story a stretch or some by lot, as an overview takes them."""
    n_recalled = min(n_recalled, n_chunks)
    if n_recalled >= STORY_CHUNKS:
        return np.arange(n_recalled) + n_recalled * rng.integers(n_chunks // n_recalled)
    story = STORY_CHUNKS * rng.integers(n_chunks // STORY_CHUNKS)
    if rng.random() < 0.5:
        return np.arange(n_recalled) + story + rng.integers(STORY_CHUNKS - n_recalled + 1)
    return story + np.sort(rng.choice(STORY_CHUNKS, n_recalled, replace=False))
