"""Rotary embedding of given positions, the half-split kind: pair i turns with i + head_dim / 2."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RopeFactors:
    """The rotation of a run of positions, as factors for a vector and for its swapped halves."""

    cos: Float32[Tensor, "token head_dim"]
    sin: Float32[Tensor, "token head_dim"]
    """First half negated, so that rotating is two products and a sum."""

    def rows(self, idx: Int64[Tensor, " row"]) -> "RopeFactors":
        """The rotation of some of these positions."""
        return RopeFactors(self.cos[idx], self.sin[idx])

    def slice(self, start: int, end: int) -> "RopeFactors":
        """The rotation of a stretch of these positions."""
        return RopeFactors(self.cos[start:end], self.sin[start:end])


def turn(positions: Int64[Tensor, " token"], head_dim: int, theta: float) -> RopeFactors:
    """The rotation that belongs to each position.

    Angles are float32 whatever the model's dtype: 16 bit would blur neighbours far out.
    Cost: O(token x head_dim), once a step for all layers.
    """
    device = positions.device
    exponents = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    angles = positions.float()[:, None] * (1.0 / theta**exponents)
    cos, sin = angles.cos(), angles.sin()
    return RopeFactors(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))


def rotate(
    x: Float[Tensor, "*batch token head_dim"], by: RopeFactors
) -> Float[Tensor, "*batch token head_dim"]:
    """Turn every vector by its position; computed in float32, returned in the dtype given."""
    swapped = torch.roll(x, x.shape[-1] // 2, -1)
    return torch.addcmul(x * by.cos, swapped, by.sin).to(x.dtype)
