"""Matrices of a decoder's layers as 8-bit integers, for memory that is short.

Each output row has a step of its own: its largest weight over 127. A product turns a matrix back
for as long as it lasts, in the dtype of the rows, where integers of 8 bits are exact; so half of
16-bit weights is saved, and a quarter of 32-bit ones is left. Embedding, head, norms, biases and a
router stay as they were, and so do towers and connectors.

Decision: plain torch and no library, *because* bitsandbytes has kernels for cards alone and
torchao a version for each of torch's. *Measured*: see docs/models.md. *Revisit when* speed on a
card counts more than memory.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.fused_linear import FusedLinear

MOST = 127
"""Largest integer; -128 is left out, so that steps are even on both sides."""


class Int8Linear(nn.Module):
    """A linear layer, plain or fused, whose weights are integers and a step for each row."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        step = weight.abs().amax(1, keepdim=True) / MOST
        # A row of zeros has no step, and stays zero with any.
        step = torch.where(step > 0, step, torch.ones_like(step))
        codes = (weight / step).round().to(torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)
        self.step = nn.Parameter(step[:, 0], requires_grad=False)
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


def store_int8(decoder: Decoder) -> None:
    """Turn the matrices of a loaded decoder's layers into integers, in place, one by one.

    Experts that a budget leaves away stay as they are read.
    """
    for owner in list(decoder.layers.modules()):
        for name, child in list(owner.named_children()):
            if not isinstance(child, nn.Linear) or name == "router" or child.weight.is_meta:
                continue
            setattr(owner, name, Int8Linear(child))
