"""Matrices as 8-bit integers: how far off, and their parts."""

import pytest
import torch
from torch import nn

from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.int8 import MOST, Int8Linear


def test_no_weight_errs_by_more_than_half_a_step() -> None:
    linear = nn.Linear(40, 24)
    with torch.no_grad():
        linear.weight[3] = 0.0
        linear.weight[5] *= 1000
    stored = Int8Linear(linear)
    restored = stored.weight.float() * stored.step[:, None]
    half = linear.weight.abs().amax(1, keepdim=True) / MOST / 2
    assert bool(((restored - linear.weight).abs() <= half * 1.001).all())
    x = torch.randn(3, 40)
    torch.testing.assert_close(stored(x), x @ restored.T + linear.bias, atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_parts_of_a_fused_product_are_those_of_the_whole(bias: bool) -> None:
    fused = FusedLinear(16, {"q": 8, "k": 4, "v": 4}, bias=bias)
    stored, x = Int8Linear(fused), torch.randn(5, 16)
    torch.testing.assert_close(stored.project_kv(x), stored(x)[:, 8:])
