"""Decoders that learn through low-rank adapters while their own weights stay.

Two forms: `adapt` puts adapters on q and v, to be stored beside the weights as PLLaVA does;
`adapt_all` puts them on every projection of every layer, to be merged into the weights.

Source: arXiv:2106.09685; rank, strength and dropout of q and v as PLLaVA trained,
arXiv:2404.16994; every projection, and their dropout, as LLaVA's scripts have it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder, FusedLinear, Layer
from engine.models.pllava.net import Adapters

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankConfig:
    """Adapters of every projection."""

    rank: int
    alpha: float
    """Strength: what the halves add is multiplied by `alpha / rank`."""
    dropout: float = 0.05
    """Of the adapters' input, while they learn."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}")


class Halves(nn.Module):
    """What learns beside one linear layer; a fused one has a pair for each of its parts."""

    def __init__(self, base: nn.Linear, rank: int, random: torch.Generator) -> None:
        super().__init__()
        rows = base.parts if isinstance(base, FusedLinear) else {"whole": base.out_features}
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        bound, device = 1 / math.sqrt(base.in_features), base.weight.device
        for part, n_rows in rows.items():
            drawn = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=random)
            self.down[part] = nn.Parameter(drawn.to(device))
            self.up[part] = nn.Parameter(torch.zeros(n_rows, rank, device=device))

    def forward(self, x: Float[Tensor, "*batch inner"]) -> Float[Tensor, "*batch outer"]:
        """What the halves add, before their strength."""
        added = (F.linear(F.linear(x, self.down[part]), self.up[part]) for part in self.down)
        return torch.cat(tuple(added), -1)

    def product(self) -> Float32[Tensor, "outer inner"]:
        """What they add to the weight, before their strength."""
        return torch.cat([self.up[part].float() @ self.down[part].float() for part in self.down])


class AdaptedLinear(nn.Module):
    """A linear layer with what its halves add."""

    def __init__(self, base: nn.Linear, halves: Halves, config: LowRankConfig) -> None:
        super().__init__()
        self.base, self.halves = base, halves
        self.strength, self.dropout = config.alpha / config.rank, config.dropout

    def forward(self, x: Float[Tensor, "*batch inner"]) -> Float[Tensor, "*batch outer"]:
        """As after merging, the halves' input thinned by dropout while they learn."""
        whole: Tensor = self.base(x)
        seen = F.dropout(x, self.dropout, training=self.halves.training)
        added: Tensor = self.halves(seen)
        return whole + added * self.strength

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The base, in place, with what was learnt in its weight."""
        weight = self.base.weight
        weight.copy_(weight.float() + self.halves.product() * self.strength)
        return self.base


def adapt_all(decoder: Decoder, config: LowRankConfig, *, seed: int) -> nn.ModuleList:
    """Put adapters on every projection, in place; they add nothing before the first step.

    The copies of q, k and v that summary tokens have are left as they are: they learn whole.

    Args:
        decoder: Of plain projections.
        config: Rank and strength.
        seed: Of the halves that are not zeros at first.
    Returns:
        What learns, layer by layer, in float32 on the decoder's device.
    """
    random = torch.Generator().manual_seed(seed)
    added = nn.ModuleList()
    for layer in decoder.stack():
        own = nn.ModuleDict()
        for owner, name in _places(layer):
            base = getattr(owner, name)
            own[name] = halves = Halves(base, config.rank, random)
            setattr(owner, name, AdaptedLinear(base, halves, config))
        added.append(own)
    return added


def merge_all(decoder: Decoder) -> None:
    """Put what `adapt_all`'s adapters have learnt into the weights, and take them out."""
    for layer in decoder.stack():
        for owner, name in _places(layer):
            adapted = getattr(owner, name)
            if isinstance(adapted, AdaptedLinear):
                setattr(owner, name, adapted.merged())


def _places(layer: Layer) -> tuple[tuple[nn.Module, str], ...]:
    """Who holds each projection of a layer, and under which name."""
    attention = layer.attention
    return (attention, "qkv"), (attention, "out"), (layer, "gate_up"), (layer, "down")
