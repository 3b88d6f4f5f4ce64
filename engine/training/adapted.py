"""A decoder whose q and v learn through low-rank adapters while its own weights stay.

Source: arXiv:2106.09685; rank, strength and dropout as PLLaVA trained, arXiv:2404.16994.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.families._pllava_net import Adapters
from engine.nn.decoder import Decoder, FusedLinear

RANK = 128
TRAINED_ALPHA = 32.0
DROPOUT = 0.05


class AdaptedQkv(nn.Module):
    """`FusedLinear` of one layer with what its adapters add to q and v."""

    def __init__(self, base: FusedLinear, adapters: Adapters, alpha: float) -> None:
        super().__init__()
        self.base, self.adapters, self.alpha = base, adapters, alpha

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Projections as after fusing, the adapters' input thinned by dropout while they learn."""
        whole: Tensor = self.base(x)
        q = self._added("q_proj", x)
        v = self._added("v_proj", x)
        between = whole.new_zeros(*q.shape[:-1], self.base.parts["k"])
        return whole + torch.cat((q, between, v), -1)

    def _added(self, name: str, x: Tensor) -> Tensor:
        half = self.adapters.get_submodule(name)
        down, up = half.get_parameter("down"), half.get_parameter("up")
        seen = F.dropout(x, DROPOUT, training=self.adapters.training)
        return F.linear(F.linear(seen, down), up) * (self.alpha / down.shape[0])


def adapt(decoder: Decoder, *, rank: int, alpha: float, seed: int) -> nn.ModuleList:
    """Put adapters into a decoder, in place; they add nothing before the first step.

    Args:
        decoder: Of plain projections.
        rank: Of the adapters; the halves share a strength of `alpha / rank`.
        alpha: Strength while they learn.
        seed: Of the first halves; the second ones start as zeros.
    Returns:
        One `Adapters` for each layer: what learns.
    """
    random = torch.Generator().manual_seed(seed)
    added = nn.ModuleList(Adapters(decoder.config, rank) for _ in decoder.stack())
    for layer, adapters in zip(decoder.stack(), added, strict=True):
        assert isinstance(adapters, Adapters)
        for half in adapters.children():
            # The bound of peft: uniform as nn.Linear draws its rows.
            bound = 1 / math.sqrt(decoder.config.width)
            with torch.no_grad():
                half.get_parameter("down").uniform_(-bound, bound, generator=random)
        layer.attention.qkv = AdaptedQkv(layer.attention.qkv, adapters, alpha)  # type: ignore[assignment]
    return added


def strip(decoder: Decoder) -> None:
    """Take adapters out again; the decoder is what it was before."""
    for layer in decoder.stack():
        adapted: object = layer.attention.qkv
        if isinstance(adapted, AdaptedQkv):
            layer.attention.qkv = adapted.base
