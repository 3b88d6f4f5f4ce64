"""Rotary embedding against the rotation of pairs, written out."""

import torch

from engine.models.layers.rotary import apply_rope, rope_factors

HEAD_DIM, THETA = 12, 1e6


def test_only_the_distance_of_two_positions_counts() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, HEAD_DIM), torch.randn(1, HEAD_DIM)

    def score(at: int, to: int) -> torch.Tensor:
        at_q, at_k = (
            rope_factors(torch.tensor([position]), HEAD_DIM, THETA) for position in (at, to)
        )
        return (apply_rope(q, at_q) * apply_rope(k, at_k)).sum()

    torch.testing.assert_close(score(5, 3), score(1005, 1003), atol=1e-4, rtol=1e-4)
    assert not torch.isclose(score(5, 3), score(5, 4))


def test_rope_rotates_each_pair_of_channels() -> None:
    x, position = torch.arange(1.0, HEAD_DIM + 1)[None], torch.tensor([7])
    half = HEAD_DIM // 2
    rotated = apply_rope(x, rope_factors(position, HEAD_DIM, THETA))[0]
    for i in range(half):
        angle = torch.tensor(7.0) * THETA ** (-i / half)
        first = x[0, i] * angle.cos() - x[0, i + half] * angle.sin()
        second = x[0, i + half] * angle.cos() + x[0, i] * angle.sin()
        torch.testing.assert_close(rotated[i], first, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(rotated[i + half], second, atol=1e-5, rtol=1e-5)


def test_a_position_has_the_same_factors_wherever_it_stands_in_a_run() -> None:
    run = rope_factors(torch.arange(40), HEAD_DIM, THETA)
    for position in (0, 1, 13, 39):
        alone = rope_factors(torch.tensor([position]), HEAD_DIM, THETA)
        assert torch.equal(run.cos[position], alone.cos[0])
        assert torch.equal(run.slice(position, position + 1).sin, alone.sin)


def test_position_zero_changes_nothing_and_half_precision_stays() -> None:
    x = torch.randn(1, HEAD_DIM).to(torch.bfloat16)
    same = apply_rope(x, rope_factors(torch.tensor([0]), HEAD_DIM, THETA))
    assert same.dtype == torch.bfloat16
    assert torch.equal(same, x)
