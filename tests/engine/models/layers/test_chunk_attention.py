"""Scores of chunks: batches of equal sizes, brought to the odds of a full chunk."""

import pytest
import torch
from torch import Tensor

from engine.models.layers import chunk_attention
from engine.models.layers.chunk_attention import score_chunks

MASS = torch.tensor([0.5, 0.5, 0.0, 0.2, 1.0])


def test_odds_are_those_of_a_full_chunk() -> None:
    # Half of the latents with even odds: a full one would have odds of two to one.
    scores = score_chunks(
        [8, 4, 0, 16, 8],
        lambda indices: MASS[indices],
        rows_per_chunk=lambda size: size,
        full_latents=8,
    )
    expected = torch.tensor([1 / 2, 2 / 3, 0.0, 1 / 9, 1.0])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


def test_a_batch_holds_chunks_of_one_size_within_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunk_attention, "SCORE_TOKENS", 20)
    batches: list[list[int]] = []

    def attention_mass(indices: list[int]) -> Tensor:
        batches.append(indices)
        return torch.full((len(indices),), 0.5)

    sizes = [8, 4, 8, 8, 4, 30]
    score_chunks(sizes, attention_mass, rows_per_chunk=lambda size: size, full_latents=8)
    assert batches == [[0, 2], [3], [1, 4], [5]]
