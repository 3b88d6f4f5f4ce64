"""Rotary position embedding (RoPE) of given positions, in the half-split form.

Channel i of a head turns together with channel i + head_dim / 2, as in LLaMA and Qwen2.
Source: arXiv:2104.09864.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RopeFactors:
    """Rotations of a run of positions, as factors for a vector and for its swapped halves."""

    cos: Float32[Tensor, "token head_dim"]
    sin: Float32[Tensor, "token head_dim"]
    """First half negated, so that a rotation is two products and a sum."""

    def slice(self, start: int, end: int) -> "RopeFactors":
        """Return the rotations of the positions from `start` up to `end`."""
        return RopeFactors(self.cos[start:end], self.sin[start:end])


def rope_factors(positions: Int64[Tensor, " token"], head_dim: int, theta: float) -> RopeFactors:
    """Compute the rotation of each position.

    Angles are float32 whatever the model's dtype: 16 bit would blur neighbours far out.
    Cost: O(token x head_dim), once a step for all layers.
    """
    return angle_factors(positions.float()[:, None] * _speeds(head_dim, theta, positions.device))


def grid_rope_factors(
    positions: Int64[Tensor, "3 token"],
    head_dim: int,
    theta: float,
    sections: tuple[int, int, int],
) -> RopeFactors:
    """Compute the rotation of positions in time, rows and columns: interleaved M-RoPE.

    Of every three channels the second turns by the row and the third by the column, for as many
    as their sections hold; all others turn by time. Where the three positions are equal the result
    is that of `rope_factors`.

    Source: Qwen3-VL; checked against transformers.
    """
    device = positions.device
    axis = torch.zeros(head_dim // 2, dtype=torch.int64, device=device)
    for number in (1, 2):
        axis[number : 3 * sections[number] : 3] = number
    return angle_factors(positions.float()[axis].t() * _speeds(head_dim, theta, device))


def angle_factors(angles: Float32[Tensor, "token pair"]) -> RopeFactors:
    """Return the rotation of each token by one angle for each pair of channels."""
    cos, sin = angles.cos(), angles.sin()
    return RopeFactors(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))


def _speeds(head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Return the angle of a step of each channel pair."""
    exponents = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    return 1.0 / theta**exponents


def apply_rope(
    x: Float[Tensor, "*batch token head_dim"], rope: RopeFactors
) -> Float[Tensor, "*batch token head_dim"]:
    """Rotate every vector by its position, in float32; the result has the dtype of `x`."""
    # Half a turn of the channels swaps the halves; the minus of the rotation is in `sin`.
    swapped = torch.roll(x, x.shape[-1] // 2, -1)
    return torch.addcmul(x * rope.cos, swapped, rope.sin).to(x.dtype)


def apply_rope_(
    x: Float[Tensor, "*batch token head_dim"], rope: RopeFactors
) -> Float[Tensor, "*batch token head_dim"]:
    """Rotate every vector where it lies, to the same bits as `apply_rope`; without gradients."""
    swapped = torch.roll(x, x.shape[-1] // 2, -1)
    return torch.addcmul(x * rope.cos, swapped, rope.sin, out=x)
