"""What speaks for a chunk, and how much that is worth: pure functions of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor, zeros_like

from engine.pipeline.config import RetrievalConfig
from engine.records import Hit, Origin, ScoreStats

SUPPORTED = 0.5
"""Support from which a hit counts as evidence: even odds, where calibration puts its threshold."""

LEAST_STD = 1e-4
"""Deviation of scores below which a video counts as uniform: float32 noise of a dot product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HitFeatures:
    """Features of a hit, comparable from question to question and from video to video."""

    cosine: float
    deviation: float
    """Above its video's mean in standard deviations, less what the best of so many frames
    reaches by chance."""
    attention: float
    """Of the question, in deviations among the candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredHit:
    """A hit with its features and its support."""

    hit: Hit
    features: HitFeatures
    support: float
    """In [0, 1]; below 0.5 it is more likely chance than not."""
    origin: Origin
    phrase_idx: int
    """Index in `Query.phrases` of the phrase that found it."""


def score_hit(
    hit: Hit, features: HitFeatures, config: RetrievalConfig, *, origin: Origin, phrase_idx: int
) -> ScoredHit:
    """Return a hit with the support that its features give it."""
    log_odds = (
        config.bias
        + config.per_cosine * features.cosine
        + config.per_deviation * features.deviation
        + config.per_attention * features.attention
    )
    # Beyond 30 a float no longer tells the share from 1; exp must not overflow.
    support = 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))
    return ScoredHit(
        hit=hit, features=features, support=support, origin=origin, phrase_idx=phrase_idx
    )


def z_scores(hits: Sequence[Hit], stats: Sequence[ScoreStats]) -> list[float]:
    """Return how far each hit stands out of its own video, in deviations beyond chance.

    The deviation is shared by all videos of the scope, each weighted by its frames: a still
    video's own would be so small that its noise outranked another's events.
    """
    n_frames = sum(video.n_frames for video in stats)
    variance = sum(video.n_frames * video.std**2 for video in stats) / max(1, n_frames)
    std = max(math.sqrt(variance), LEAST_STD)
    means = {video.video: video.mean for video in stats}
    chance = best_of_chance(n_frames)
    return [(hit.score - means[hit.chunk.video]) / std - chance for hit in hits]


def best_of_chance(n_frames: int) -> float:
    """Return the deviation that the best of so many unrelated frames reaches.

    Source: the mode of the Gumbel distribution, the limit of the maximum of normal variables.
    """
    return math.sqrt(2 * math.log(max(n_frames, 2)))


def standardise(scores: Float32[Tensor, " chunk"]) -> Float32[Tensor, " chunk"]:
    """Return scores as deviations from their mean; zeros where there is nothing to compare."""
    if len(scores) < 2:
        return zeros_like(scores)
    return (scores - scores.mean()) / scores.std().clamp_min(LEAST_STD)
