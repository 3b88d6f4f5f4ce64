"""Support of a hit by vectors and attention, and the ranking by it: pure functions of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.pipeline.config import RetrievalConfig
from engine.records import ChunkRef, Hit, IndexResult, Origin, ScoreStats

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


def rank_by_vectors(
    result: IndexResult,
    attention: Float32[Tensor, " hit"] | None,
    config: RetrievalConfig,
    *,
    phrase_idx: int,
) -> tuple[ScoredHit, ...]:
    """Score the candidates that the joint space proposes, best supported first.

    Args:
        result: Of one phrase.
        attention: Of the question to each of the hits; `None` where it does not count.
        config: The weights.
        phrase_idx: Which phrase.
    """
    hits = result.hits
    looked = torch.zeros(len(hits)) if attention is None else standardise(attention)
    scored = (
        score_hit(
            hit,
            HitFeatures(cosine=hit.score, deviation=deviation, attention=float(look)),
            config,
            origin="retrieval",
            phrase_idx=phrase_idx,
        )
        for hit, deviation, look in zip(hits, z_scores(hits, result.stats), looked, strict=True)
    )
    return tuple(sorted(scored, key=lambda hit: -hit.support))


def rank_by_attention(
    refs: Sequence[ChunkRef], attention: Float32[Tensor, " chunk"], config: RetrievalConfig
) -> tuple[ScoredHit, ...]:
    """Score chunks where vectors are missing or cannot tell frames apart, best first.

    The peak of such a hit is the middle of its chunk: attention does not say where in it.
    """
    deviations = standardise(attention)
    shares = torch.softmax(deviations, dim=0)
    chance = best_of_chance(len(refs))
    # The weights of the joint space's features are not known to hold here: deviations alone count.
    deviation_only = replace(config, bias=0.0, per_cosine=0.0, per_attention=0.0)
    order = torch.argsort(deviations, descending=True, stable=True)[: config.candidates]
    return tuple(
        score_hit(
            Hit(chunk=refs[idx], score=float(shares[idx]), peak_s=_middle_s(refs[idx])),
            HitFeatures(cosine=0.0, deviation=float(deviations[idx]) - chance, attention=0.0),
            deviation_only,
            origin="attention",
            phrase_idx=0,
        )
        for idx in order.tolist()
    )


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
        return torch.zeros_like(scores)
    return (scores - scores.mean()) / scores.std().clamp_min(LEAST_STD)


def _middle_s(ref: ChunkRef) -> float:
    return (ref.span.start_s + ref.span.end_s) / 2
