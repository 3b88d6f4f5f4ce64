"""Matrices of a decoder's layers as 8-bit integers, for memory that is short.

Each output row has a step of its own: its largest weight over 127. A product turns a matrix back
for as long as it lasts, in the dtype of the rows, where integers of 8 bits are exact; so half of
16-bit weights is saved, and a quarter of 32-bit ones is left.

Decision: plain torch and no library, *because* 8 bits need no more than a cast, and so no package
beside torch; 4 bits do (`nf4`). *Measured*: see docs/models.md. *Revisit when* speed on a card
counts more than memory.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.fused_linear import FusedLinear

MOST = 127
"""Largest integer; -128 is left out, so that steps are even on both sides."""
WIDENED = 1 << 20
"""Weights that are held in 32 bits at once while they are turned."""


class Int8Linear(nn.Module):
    """A linear layer, plain or fused, whose weights are integers and a step for each row."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        step = torch.empty(len(weight), device=weight.device)
        n_rows = max(1, WIDENED // weight.shape[1])
        for rows, into, steps in zip(
            *(torch.split(whole, n_rows) for whole in (weight, codes, step)), strict=True
        ):
            largest = rows.float().abs().amax(1) / MOST
            # A row of zeros has no step, and stays zero with any.
            steps.copy_(torch.where(largest > 0, largest, torch.ones_like(largest)))
            into.copy_((rows.float() / steps[:, None]).round_())
        self.weight = nn.Parameter(codes, requires_grad=False)
        self.step = nn.Parameter(step, requires_grad=False)
        self.bias = linear.bias
        parts = linear.parts if isinstance(linear, FusedLinear) else {"whole": len(codes)}
        self._n_first = next(iter(parts.values()))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Return the product of all rows."""
        return self._product(x, 0)

    def project_kv(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Project to all parts but the first: k and v without q."""
        return self._product(x, self._n_first)

    def _product(self, x: Tensor, start: int) -> Tensor:
        out = F.linear(x, self.weight[start:].to(x.dtype)) * self.step[start:].to(x.dtype)
        return out if self.bias is None else out + self.bias[start:]
