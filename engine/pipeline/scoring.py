"""What speaks for a chunk, and how much that is worth: pure functions of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float32
from torch import Tensor, zeros_like

from engine.records import Hit, Origin, ScoreStats

SUPPORTED = 0.5
"""Support from which a hit counts as evidence."""

LEAST_STD = 1e-4
"""Deviation of scores below which a video counts as uniform: float32 noise of a dot product."""


SignalsUsed = Literal["vectors", "attention", "both"]
"""What finds chunks: frame vectors, the question's attention to VST keys, or the attention among
those that the vectors propose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """How many chunks answer a question, and when nothing does."""

    signals: SignalsUsed = "both"
    """Which signals are asked; a family without a joint space has attention alone."""
    top_chunks: int = 2
    """Chunks recalled for a question that names a thing."""
    overview_chunks: int = 8
    """Chunks taken evenly for a question about the whole, beside the top ones."""
    candidates: int = 32
    """Chunks that the vectors propose and the question's attention then weighs."""
    bias: float = 0.0
    """Support is logistic: 1 / (1 + exp(-(bias + the signals times their weights))). What was
    measured for a checkpoint says more than these defaults, which know no scale of cosines."""
    per_cosine: float = 0.0
    """For the cosine of the phrase and the chunk's best frame."""
    per_deviation: float = 2.0
    """For how far that stands out of its video, beyond the best of chance, in deviations."""
    per_attention: float = 0.5
    """For the question's attention to the chunk, in deviations among the candidates; 0 spares
    the pass that measures it, as `vectors` do."""

    def __post_init__(self) -> None:
        if self.signals not in get_args(SignalsUsed):
            allowed = ", ".join(get_args(SignalsUsed))
            raise ValueError(f"signals must be one of {allowed}, not {self.signals!r}")
        for name in ("top_chunks", "overview_chunks", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HitFeatures:
    """What speaks for a chunk, comparable from question to question and from video to video."""

    cosine: float
    deviation: float
    """Above its video's mean in deviations, less what the best of so many frames reaches by
    chance."""
    attention: float
    """Of the question, in deviations among the candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredHit:
    """A hit, what speaks for it, and how much that is worth."""

    hit: Hit
    signals: HitFeatures
    support: float
    """In [0, 1]; below 0.5 it is more likely chance than not."""
    origin: Origin
    query_idx: int
    """Place of the phrase that it was found by, in `Retrieved.queries`."""


def score_hit(
    hit: Hit, signals: HitFeatures, config: RetrievalConfig, *, origin: Origin, query_idx: int
) -> ScoredHit:
    """A hit with the support that its signals give it."""
    worth = (
        config.bias
        + config.per_cosine * signals.cosine
        + config.per_deviation * signals.deviation
        + config.per_attention * signals.attention
    )
    # Beyond 30 a float tells 1 from the share no longer; exp must not overflow.
    support = 1 / (1 + math.exp(-max(-30.0, min(30.0, worth))))
    return ScoredHit(hit=hit, signals=signals, support=support, origin=origin, query_idx=query_idx)


def deviations(hits: Sequence[Hit], spreads: Sequence[ScoreStats]) -> list[float]:
    """How far each hit stands out of its own video.

    The deviation is shared by all videos of the scope: a still video's would be so small that
    its noise outranked another's events.
    """
    n_frames = sum(spread.n_frames for spread in spreads)
    pooled = sum(spread.n_frames * spread.std**2 for spread in spreads) / max(1, n_frames)
    std = max(math.sqrt(pooled), LEAST_STD)
    means = {spread.video: spread.mean for spread in spreads}
    chance = best_of_chance(n_frames)
    return [(hit.score - means[hit.chunk.video]) / std - chance for hit in hits]


def best_of_chance(n_frames: int) -> float:
    """The deviation that the best of so many unrelated frames reaches (Gumbel's mode)."""
    return math.sqrt(2 * math.log(max(n_frames, 2)))


def standardised(scores: Float32[Tensor, " chunk"]) -> Float32[Tensor, " chunk"]:
    """Scores as deviations from their mean; zeros where there is nothing to compare."""
    if len(scores) < 2:
        return zeros_like(scores)
    return (scores - scores.mean()) / scores.std().clamp_min(LEAST_STD)
