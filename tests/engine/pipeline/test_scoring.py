"""Features of hits to support: each number against the formula written out."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.config import RetrievalConfig
from engine.pipeline.scoring import (
    LEAST_STD,
    HitFeatures,
    best_of_chance,
    rank_by_attention,
    rank_by_vectors,
    score_hit,
    standardise,
    z_scores,
)
from engine.records import ChunkRef, Hit, IndexResult, ScoreStats, TimeSpan, VideoId

LONG, SHORT = VideoId("long"), VideoId("short")


def hit(video: VideoId, score: float) -> Hit:
    ref = ChunkRef(video=video, ordinal=0, span=TimeSpan(start_s=0.0, end_s=4.0))
    return Hit(chunk=ref, score=score, peak_s=1.0)


def test_the_shared_deviation_weighs_each_video_by_its_frames() -> None:
    stats = (
        ScoreStats(video=LONG, n_frames=900, mean=0.1, std=0.3),
        ScoreStats(video=SHORT, n_frames=100, mean=0.4, std=0.1),
    )
    std = math.sqrt((900 * 0.3**2 + 100 * 0.1**2) / 1000)
    chance = math.sqrt(2 * math.log(1000))
    of_long, of_short = z_scores([hit(LONG, 0.7), hit(SHORT, 0.7)], stats)
    assert of_long == pytest.approx((0.7 - 0.1) / std - chance)
    assert of_short == pytest.approx((0.7 - 0.4) / std - chance)


def test_scores_that_all_agree_do_not_blow_up() -> None:
    stats = (ScoreStats(video=LONG, n_frames=4, mean=0.5, std=0.0),)
    (deviation,) = z_scores([hit(LONG, 0.5)], stats)
    assert deviation == pytest.approx(-best_of_chance(4))
    (above,) = z_scores([hit(LONG, 0.5 + LEAST_STD)], stats)
    assert above == pytest.approx(1 - best_of_chance(4), abs=1e-6)


def test_support_is_the_logistic_of_the_weighted_features() -> None:
    config = RetrievalConfig(bias=-1.0, per_cosine=2.0, per_deviation=0.5, per_attention=0.25)
    features = HitFeatures(cosine=0.3, deviation=2.0, attention=-1.0)
    scored = score_hit(hit(LONG, 0.3), features, config, origin="retrieval", phrase_idx=1)
    assert scored.support == pytest.approx(1 / (1 + math.exp(1.0 - 0.6 - 1.0 + 0.25)))
    assert (scored.features, scored.origin, scored.phrase_idx) == (features, "retrieval", 1)


@given(deviation=st.floats(-1e6, 1e6), more=st.floats(0, 1e6))
def test_support_lies_between_0_and_1_and_grows_with_the_deviation(
    deviation: float, more: float
) -> None:
    features = HitFeatures(cosine=0.0, deviation=deviation, attention=0.0)
    config = RetrievalConfig()
    low, high = (
        score_hit(hit(LONG, 0.0), part, config, origin="retrieval", phrase_idx=0).support
        for part in (features, replace(features, deviation=deviation + more))
    )
    assert 0 <= low <= high <= 1


def test_candidates_are_ranked_by_support_with_attention_in_their_own_order() -> None:
    stats = (ScoreStats(video=LONG, n_frames=100, mean=0.0, std=0.1),)
    hits = tuple(hit(LONG, score) for score in (0.30, 0.29, 0.28))
    found = IndexResult(hits=hits, stats=stats)
    config = RetrievalConfig(per_deviation=1.0, per_attention=1.0)
    plain = rank_by_vectors(found, None, config, phrase_idx=2)
    assert [scored.hit for scored in plain] == list(hits)
    assert {scored.features.attention for scored in plain} == {0.0}
    assert {scored.phrase_idx for scored in plain} == {2}
    looked = rank_by_vectors(found, torch.tensor([0.1, 0.2, 0.3]), config, phrase_idx=0)
    assert [scored.hit for scored in looked] == list(reversed(hits))
    assert [scored.features.attention for scored in looked] == pytest.approx([1.0, 0.0, -1.0])


def test_a_hit_by_attention_alone_is_a_chunks_middle_and_knows_no_other_weight() -> None:
    refs = [
        ChunkRef(video=LONG, ordinal=idx, span=TimeSpan(start_s=4.0 * idx, end_s=4.0 * idx + 4.0))
        for idx in range(5)
    ]
    attention = torch.tensor([0.1, 0.1, 0.9, 0.1, 0.2])
    config = RetrievalConfig(bias=-50.0, per_cosine=9.0, per_deviation=2.0, candidates=3)
    ranked = rank_by_attention(refs, attention, config)
    assert [scored.hit.chunk.ordinal for scored in ranked] == [2, 4, 0]
    assert ranked[0].hit.peak_s == 10.0
    deviation = float(standardise(attention)[2]) - best_of_chance(5)
    assert ranked[0].support == pytest.approx(1 / (1 + math.exp(-2.0 * deviation)))


def test_standardised_scores_have_mean_0_and_deviation_1() -> None:
    scores = standardise(torch.tensor([1.0, 2.0, 6.0]))
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(scores.std()) == pytest.approx(1.0)
    assert scores.argsort().tolist() == [0, 1, 2]


@pytest.mark.parametrize("scores", [[], [3.0], [2.0, 2.0]])
def test_scores_without_comparison_are_zeros(scores: list[float]) -> None:
    assert standardise(torch.tensor(scores)).tolist() == [0.0] * len(scores)
