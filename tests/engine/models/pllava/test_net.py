"""Adaptive pooling against window-by-window means."""

import pytest
import torch

from engine.models.pllava.net import pool_clip


def _window(idx: int, size: int, target: int) -> slice:
    return slice(idx * size // target, -(-(idx + 1) * size // target))


@pytest.mark.parametrize("target", [(4, 3, 3), (1, 1, 1), (3, 4, 5), (6, 3, 8)])
def test_pooling_equals_the_mean_of_each_window(target: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(4, 6 * 6, 5)
    volume = tokens.reshape(4, 6, 6, 5)
    means = [
        volume[_window(t, 4, target[0]), _window(r, 6, target[1]), _window(c, 6, target[2])].mean(
            (0, 1, 2)
        )
        for t in range(target[0])
        for r in range(target[1])
        for c in range(target[2])
    ]
    torch.testing.assert_close(pool_clip(tokens, (6, 6), target), torch.stack(means))


def test_pooling_refuses_a_grid_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="no 5 x 7 grid"):
        pool_clip(torch.zeros(2, 36, 4), (5, 7), (2, 3, 3))
