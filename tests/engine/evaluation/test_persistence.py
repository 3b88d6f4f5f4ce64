"""Facts of a long stream: found where they are kept, in the same bytes, and resumed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.evaluation.levels import Attempt, levels_of, shares_of
from engine.evaluation.memories import (
    MEMORIES,
    block_frames,
    latents_within,
    plan_memory,
    remembered,
)
from engine.evaluation.metrics import is_referenced
from engine.evaluation.needle import encode_haystack
from engine.evaluation.persistence import PersistenceConfig, measure_persistence, stream_frames
from engine.evaluation.scratch_engine import scratch_engine
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest_encoded
from engine.pipeline.resume import ResumePoint
from engine.records import TimeSpan, VideoId
from engine.synthetic.facts import ANSWER, draw_facts
from engine.tensors import VisualTokens
from tests.support.fakes import CARD, story

START = ResumePoint(ordinal=0, after_s=None, frames_sampled=0)


def frames(start: int, end: int) -> VisualTokens:
    """Frames whose first number is their index."""
    embeddings = torch.arange(start, end).float()[:, None, None].repeat(1, 2, 8)
    vectors = torch.nn.functional.normalize(torch.ones(end - start, 4), dim=-1)
    pts_s = torch.arange(start, end, dtype=torch.float64)
    return VisualTokens(embeddings=embeddings, frame_vectors=vectors, pts_s=pts_s)


@pytest.mark.parametrize("n_frames", [64, 65, 100])
def test_every_memory_but_the_ceiling_keeps_no_more_than_the_summary(n_frames: int) -> None:
    plans = {
        memory: plan_memory(memory, CARD, n_frames, ratio=8, least_ratio=2) for memory in MEMORIES
    }
    budget = plans["summary"].kept_bytes
    for memory in ("uniform", "recent", "pooled"):
        assert 0.6 * budget <= plans[memory].kept_bytes <= budget, memory
    assert plans["full"].kept_bytes > 2 * budget


def test_planned_bytes_are_those_that_are_kept(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    for memory in MEMORIES:
        plan = plan_memory(memory, CARD, 50, ratio=4, least_ratio=2)
        size = block_frames(plan, CARD)
        blocks = [
            frames(start, min(start + size, 50)) for start in range(plan.first_frame, 50, size)
        ]
        video, folder = VideoId("stream"), tmp_path / memory
        folder.mkdir()
        engine = scratch_engine(build(), folder, compression_ratio=plan.ratio)
        chunks = remembered(plan, blocks, 1.0)
        kept = sum(chunk.n_latents for chunk in ingest_encoded(engine, video, chunks, resume=START))
        assert kept * CARD.latent_bytes == plan.kept_bytes, memory


def test_what_is_kept_of_a_block_is_thinned_or_averaged() -> None:
    uniform = plan_memory("uniform", CARD, 64, ratio=8)
    (chunk,) = remembered(uniform, [frames(0, 16)], 1.0)
    assert chunk.tokens.embeddings[:, 0, 0].tolist() == [0, 4, 8, 12]
    assert chunk.span == TimeSpan(start_s=0.0, end_s=16.0)
    pooled = plan_memory("pooled", CARD, 64, ratio=8)
    (chunk,) = remembered(pooled, [frames(0, 16)], 1.0)
    assert chunk.tokens.embeddings[:, 0, 0].tolist() == [1.5, 5.5, 9.5, 13.5]
    recent = plan_memory("recent", CARD, 64, ratio=8)
    assert recent.first_frame == 48


def test_the_budget_is_counted_in_latents() -> None:
    assert latents_within(CARD, CARD.latent_bytes * 10 + 1) == 10


def test_facts_do_not_answer_one_another() -> None:
    single = draw_facts(40, hops=1, seed=3)
    assert len({fact.steps[0].question for fact in single}) == 40
    assert all(card.is_held_out for fact in single for card in fact.cards)


@pytest.mark.parametrize("seed", range(8))
def test_the_first_answer_decides_which_card_the_second_question_means(seed: int) -> None:
    facts = draw_facts(6, hops=2, seed=seed)
    cards = [card for fact in facts for card in fact.cards]
    assert len({(card.colour, card.shape) for card in cards}) == 18
    for number, fact in enumerate(facts):
        first, second = fact.steps
        key, wanted, other = fact.cards
        assert second.answer == wanted.code
        whole = second.question.replace(ANSWER, first.answer)
        assert f"the {wanted.colour} {wanted.shape} card" in whole
        if number % 2 == 0:
            # The shape names one card of the stream, and its colour one of two others.
            assert [card for card in cards if card.shape == key.shape] == [key]
            assert first.answer == key.colour == wanted.colour != other.colour
            assert wanted.shape == other.shape
        else:
            assert [card for card in cards if card.colour == key.colour] == [key]
            assert first.answer == key.shape == wanted.shape != other.shape
            assert wanted.colour == other.colour
    with pytest.raises(ValueError, match="1 to 6 facts"):
        draw_facts(7, hops=2, seed=0)


def test_a_run_goes_on_where_it_was_interrupted(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = build()
    hay = encode_haystack(engine, story("grey*20"))
    config = PersistenceConfig(
        ages_s=(20.0, 60.0), facts=1, memories=("summary", "recent"), ratio=4
    )
    whole = list(measure_persistence(engine, hay, config, tmp_path / "a"))
    assert [(result.memory, result.fact) for result in whole] == [
        ("summary", 0),
        ("summary", 1),
        ("recent", 0),
        ("recent", 1),
    ]
    first = next(measure_persistence(engine, hay, config, tmp_path / "b"))
    rest = list(
        measure_persistence(
            engine, hay, config, tmp_path / "b", known=frozenset([(first.memory, first.fact)])
        )
    )
    assert [first, *rest] == whole


def test_the_newest_frames_have_forgotten_what_is_old(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = build()
    hay = encode_haystack(engine, story("grey*20"))
    config = PersistenceConfig(ages_s=(400.0,), facts=1, memories=("summary", "recent"), ratio=8)
    summary, recent = measure_persistence(engine, hay, config, tmp_path)
    assert stream_frames(config, 1.0, 4) > 400
    assert summary.references[300] or summary.attempt.shows_moment is not None
    assert recent.attempt.shows_moment is False
    assert recent.attempt.told_when is False


def test_levels_count_what_was_measured() -> None:
    lucky = Attempt(is_right=True, shows_moment=False, told_when=True)
    good = Attempt(is_right=True, shows_moment=True, place_iou=0.7)
    assert levels_of(lucky) == (None, True, True, False, None)
    assert levels_of(good) == (None, None, True, True, True)
    assert shares_of([lucky, good]) == (None, 1.0, 1.0, 0.5, 1.0)
    assert shares_of([]) == (None,) * 5


def test_a_moment_counts_within_its_grain() -> None:
    shown = [TimeSpan(start_s=100.0, end_s=108.0)]
    wanted = [TimeSpan(start_s=118.0, end_s=119.0)]
    assert is_referenced(shown, wanted, 10)
    assert not is_referenced(shown, wanted, 9)
    assert not is_referenced([], wanted, 300)
    assert not is_referenced(shown, [*wanted, TimeSpan(start_s=900.0, end_s=901.0)], 300)
