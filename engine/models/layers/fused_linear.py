"""Several projections of one input as one matrix product."""

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FusedLinear(nn.Linear):
    """Several projections of one input as one matrix product; the loader fills it part by part."""

    def __init__(self, n_in: int, parts: Mapping[str, int], *, bias: bool) -> None:
        super().__init__(n_in, sum(parts.values()), bias=bias)
        self.parts = dict(parts)
        """Rows of each part, in order."""

    def project_kv(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Project to all parts but the first: k and v without q."""
        start = next(iter(self.parts.values()))
        return F.linear(x, self.weight[start:], None if self.bias is None else self.bias[start:])
