"""Runs of frames around a peak, against walking from frame to frame."""

import numpy as np

from engine.pipeline.still_search import run_around

SHARE = 1.5


def walk(relevance: np.ndarray, follows: np.ndarray, peak: int) -> tuple[int, int]:
    """The first and last frame of a run, one step at a time."""
    first = last = peak
    least = relevance[peak] - SHARE
    while first > 0 and follows[first - 1] and relevance[first - 1] >= least:
        first -= 1
    while last + 1 < len(relevance) and follows[last] and relevance[last + 1] >= least:
        last += 1
    return first, last


def test_run_is_that_of_a_walk_from_the_peak() -> None:
    generator = np.random.default_rng(0)
    for n_frames in (1, 2, 3, 40):
        for _ in range(50):
            relevance = generator.normal(0, 1.5, n_frames).astype(np.float32)
            follows = generator.random(n_frames - 1) < 0.9
            # The best of any neighbourhood: what is searched from is never below its run.
            peak = int(relevance.argmax())
            assert run_around(relevance, follows, peak) == walk(relevance, follows, peak)


def test_run_ends_where_nothing_was_kept() -> None:
    relevance = np.zeros(6, np.float32)
    follows = np.array([True, True, False, True, True])
    assert run_around(relevance, follows, 1) == (0, 2)
    assert run_around(relevance, follows, 3) == (3, 5)
