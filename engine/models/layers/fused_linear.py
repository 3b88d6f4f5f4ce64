"""Several projections of one input as one matrix product."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from engine.models.layers.products import Linear, linear


class FusedLinear(Linear):
    """Several projections of one input as one matrix product; the loader fills it part by part."""

    def __init__(self, n_in: int, parts: Mapping[str, int], *, bias: bool) -> None:
        super().__init__(n_in, sum(parts.values()), bias=bias)
        self.parts = dict(parts)
        """Rows of each part, in order."""

    def project_kv(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Project to all parts but the first: k and v without q."""
        start = next(iter(self.parts.values()))
        bias = None if self.bias is None else self.bias[start:]
        return linear(x, self.weight[start:], bias)
