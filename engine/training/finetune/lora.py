"""LoRA: decoders that learn through low-rank adapters while their own weights stay.

Two forms: `add_qv_adapters` puts them on q and v, to be stored beside the weights as PLLaVA does;
`add_adapters` puts them on every projection of every layer, to be merged into the weights.

Source: arXiv:2106.09685; rank, strength and dropout of q and v as PLLaVA trained,
arXiv:2404.16994; every projection, and their dropout, as LLaVA's scripts have it; a frozen base in
4 bits, arXiv:2305.14314.

Decision: what was learnt over 4 bits is merged into the 16-bit weights of the checkpoint, *because*
an export in the released layout holds those anyway, and they are nearer to what was published than
what 4 bits give back. The adapters saw the rounded ones: the last loss of a run is measured on
these. *Revisit when* a released size shows that the difference matters.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder, Layer
from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.nf4 import Nf4Linear
from engine.models.pllava.net import Adapters

RANK = 128
TRAINED_ALPHA = 32.0
DROPOUT = 0.05
BaseFormat = Literal["native", "nf4"]


class AdaptedQkv(nn.Module):
    """`FusedLinear` of one layer with what its adapters add to q and v."""

    def __init__(self, base: FusedLinear, adapters: Adapters, alpha: float) -> None:
        super().__init__()
        self.base, self.adapters, self.alpha = base, adapters, alpha

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Return the projections as after fusing, with the adapters' dropout in training."""
        base: Tensor = self.base(x)
        q = self._added("q_proj", x)
        v = self._added("v_proj", x)
        between = base.new_zeros(*q.shape[:-1], self.base.parts["k"])
        return base + torch.cat((q, between, v), -1)

    def _added(self, name: str, x: Tensor) -> Tensor:
        side = self.adapters.get_submodule(name)
        down, up = side.get_parameter("down"), side.get_parameter("up")
        thinned = F.dropout(x, DROPOUT, training=self.adapters.training)
        return F.linear(F.linear(thinned, down), up) * (self.alpha / down.shape[0])


def add_qv_adapters(decoder: Decoder, *, rank: int, alpha: float, seed: int) -> nn.ModuleList:
    """Put adapters into a decoder, in place; they add nothing before the first step.

    Args:
        decoder: Of plain projections.
        rank: Of the adapters; each pair has a strength of `alpha / rank`.
        alpha: Strength while they learn.
        seed: Of the down projections; the up projections start as zeros.
    Returns:
        One `Adapters` for each layer: what learns.
    """
    random = torch.Generator().manual_seed(seed)
    added = nn.ModuleList(Adapters(decoder.config, rank) for _ in decoder.stack())
    for layer, adapters in zip(decoder.stack(), added, strict=True):
        assert isinstance(adapters, Adapters)
        for side in adapters.children():
            # The bound of peft: uniform as nn.Linear draws its rows.
            bound = 1 / math.sqrt(decoder.config.width)
            with torch.no_grad():
                side.get_parameter("down").uniform_(-bound, bound, generator=random)
        layer.attention.qkv = AdaptedQkv(layer.attention.qkv, adapters, alpha)  # type: ignore[assignment]
    # Drawn on the host, so that they are the same on every device.
    return added.to(decoder.embed.weight.device)


def remove_qv_adapters(decoder: Decoder) -> None:
    """Take the adapters of `add_qv_adapters` out; the decoder is what it was before."""
    for layer in decoder.stack():
        adapted: object = layer.attention.qkv
        if isinstance(adapted, AdaptedQkv):
            layer.attention.qkv = adapted.base


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankConfig:
    """Adapters of every projection."""

    rank: int
    alpha: float
    """Strength: the product of a pair is multiplied by `alpha / rank`."""
    dropout: float = 0.05
    """Of the adapters' input, while they learn."""
    base: BaseFormat = "native"
    """How the frozen projections are held: as they are, or in 4 bits (QLoRA)."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}")


class LowRankPair(nn.Module):
    """The down and up projections beside a linear layer; a fused one has a pair for each part."""

    def __init__(self, base: nn.Linear | Nf4Linear, rank: int, random: torch.Generator) -> None:
        super().__init__()
        if isinstance(base, FusedLinear | Nf4Linear):
            rows = base.parts
        else:
            rows = {"whole": base.out_features}
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        bound, device = 1 / math.sqrt(base.in_features), next(base.parameters()).device
        for part, n_rows in rows.items():
            drawn = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=random)
            self.down[part] = nn.Parameter(drawn.to(device))
            self.up[part] = nn.Parameter(torch.zeros(n_rows, rank, device=device))

    def forward(self, x: Float[Tensor, "*batch inner"]) -> Float[Tensor, "*batch outer"]:
        """Return the addition to the layer's output, before its strength."""
        added = (F.linear(F.linear(x, self.down[part]), self.up[part]) for part in self.down)
        return torch.cat(tuple(added), -1)

    def product(self) -> Float32[Tensor, "outer inner"]:
        """Return the addition to the weight, before its strength."""
        return torch.cat([self.up[part].float() @ self.down[part].float() for part in self.down])


class AdaptedLinear(nn.Module):
    """A linear layer and the low-rank pair beside it."""

    def __init__(
        self, base: nn.Linear | Nf4Linear, pair: LowRankPair, config: LowRankConfig
    ) -> None:
        super().__init__()
        self.base, self.pair = base, pair
        self.strength, self.dropout = config.alpha / config.rank, config.dropout

    def forward(self, x: Float[Tensor, "*batch inner"]) -> Float[Tensor, "*batch outer"]:
        """Return the output as after merging; in training, the pair gets its input with dropout."""
        base: Tensor = self.base(x)
        thinned = F.dropout(x, self.dropout, training=self.pair.training)
        added: Tensor = self.pair(thinned)
        return base + added * self.strength

    @torch.no_grad()
    def merge_into(self, linear: nn.Linear) -> None:
        """Add the pair to the weight of a layer, in place."""
        added = (self.pair.product() * self.strength).to(linear.weight.device)
        linear.weight.copy_(linear.weight.float() + added)


def add_adapters(decoder: Decoder, config: LowRankConfig, *, seed: int) -> nn.ModuleList:
    """Put adapters on every projection, in place; they add nothing before the first step.

    The copies of q, k and v that summary tokens have are left as they are: they learn whole.

    Args:
        decoder: Of plain projections, or of such in 4 bits.
        config: Rank, strength, and whether plain projections are turned into 4 bits.
        seed: Of the down projections; the up projections start as zeros.
    Returns:
        The low-rank pairs, layer by layer, in float32 on the decoder's device.
    Raises:
        MissingCapabilityError: The package that 4 bits need is not installed.
    """
    random = torch.Generator().manual_seed(seed)
    added = nn.ModuleList()
    for layer in decoder.stack():
        own = nn.ModuleDict()
        for owner, name in _projections(layer):
            base = getattr(owner, name)
            own[name] = pair = LowRankPair(base, config.rank, random)
            is_turned = config.base == "native" or isinstance(base, Nf4Linear)
            held = base if is_turned else Nf4Linear(base)
            setattr(owner, name, AdaptedLinear(held, pair, config))
        added.append(own)
    return added


def merge_adapters(decoder: Decoder, *, read: Decoder | None = None) -> None:
    """Merge the adapters of `add_adapters` into the weights, and take them out.

    Args:
        decoder: With adapters.
        read: The decoder as its checkpoint has it, needed where the base is in 4 bits: what is
            learnt goes into its projections, which move over, and nothing is rounded to 4 bits.
    """
    for layer, plain in zip(decoder.stack(), (read or decoder).stack(), strict=True):
        for (owner, name), (source, _) in zip(
            _projections(layer), _projections(plain), strict=True
        ):
            adapted = getattr(owner, name)
            if isinstance(adapted, AdaptedLinear):
                linear = adapted.base if read is None else getattr(source, name)
                assert isinstance(linear, nn.Linear), "4 bits are merged into what was read"
                adapted.merge_into(linear)
                setattr(owner, name, linear)


def _projections(layer: Layer) -> tuple[tuple[nn.Module, str], ...]:
    """Return the owner and the attribute name of each projection of a layer."""
    attention = layer.attention
    return (attention, "qkv"), (attention, "out"), (layer, "gate_up"), (layer, "down")
