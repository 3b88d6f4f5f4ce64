"""What each part of the decoder stage recalls."""

import numpy as np
import pytest

from engine.training.nano.curriculum import (
    CONTEXTS,
    RecallSpec,
    draw_recall,
    has_single_frames,
    pick_recalled,
    summary_weight,
)
from engine.training.nano.stories import STORY_CHUNKS


def draws(part: float, *, with_stories: bool = True, n: int = 400) -> list[RecallSpec]:
    rng = np.random.default_rng(0)
    return [draw_recall(rng, part, with_stories=with_stories) for _ in range(n)]


def test_a_run_begins_with_single_chunks_at_small_ratios() -> None:
    assert {recall.n_chunks for recall in draws(0.0)} == {1}
    assert {recall.ratio for recall in draws(0.0)} == {2, 4, 8}
    assert {recall.ratio for recall in draws(0.06)} == {2, 4, 8, 16}
    assert {recall.n_chunks for recall in draws(0.15)} == {1, 2, 4}


def test_stories_join_after_the_first_fifth_at_their_share() -> None:
    assert not any(recall.is_story for recall in draws(0.19))
    assert sum(recall.is_story for recall in draws(0.5)) / 400 == pytest.approx(0.35, abs=0.06)
    assert not any(recall.is_story for recall in draws(0.5, with_stories=False))


def test_every_recall_that_is_drawn_has_its_contexts() -> None:
    sizes = {recall.n_chunks for part in (0.0, 0.15, 0.3, 0.9) for recall in draws(part)}
    assert sizes == set(CONTEXTS)


def test_a_context_recalls_no_chunk_twice() -> None:
    rng = np.random.default_rng(1)
    for n_chunks in (1, 4, 16):
        picked = pick_recalled(rng, 64, 12, RecallSpec(n_chunks=n_chunks, ratio=8))
        assert picked.shape == (12, n_chunks)
        assert all(len(set(row)) == n_chunks for row in picked)


def test_a_context_of_a_story_is_in_order_and_of_one_story_or_of_whole_ones() -> None:
    rng = np.random.default_rng(2)
    for n_chunks in (2, 4):
        picked = pick_recalled(rng, 32, 50, RecallSpec(n_chunks=n_chunks, ratio=8, is_story=True))
        assert (np.diff(picked, axis=1) > 0).all()
        assert (picked // STORY_CHUNKS == picked[:, :1] // STORY_CHUNKS).all()
    whole = pick_recalled(rng, 32, 50, RecallSpec(n_chunks=16, ratio=8, is_story=True))
    assert (np.diff(whole, axis=1) == 1).all()
    assert (whole[:, 0] % 16 == 0).all()


def test_summary_supervision_is_halved_at_the_end_and_single_frames_are_for_the_start() -> None:
    assert summary_weight(0.5) == 2 * summary_weight(0.9)
    assert [has_single_frames(part) for part in (0.0, 0.19, 0.2)] == [True, True, False]
