"""Apollo's token connector: a projection, then queries that read a whole clip.

A fixed number of learned queries attends to all tokens of a clip, so a clip costs the decoder the
same whatever the towers' grids are. The connector has no positions of its own: order inside a clip
is known only from the towers' features.

Source: arXiv:2412.10360; checked against upstream by `tests/golden/apollo/connector_*`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from engine.models.layers.products import Linear

_NORMS = {
    "resampler.layers.*.input_latents_norm": "resampler.layers.*.query_norm",
    "resampler.layers.*.input_context_norm": "resampler.layers.*.context_norm",
    "resampler.layers.*.post_attention_layernorm": "resampler.layers.*.mlp_norm",
    "resampler.norm": "resampler.norm",
}
KEY_MAP = (
    ("proj.*.*", "projections.*.*"),
    ("resampler.latents", "resampler.queries"),
    *((f"{released}.wheight", f"{ours}.gain") for released, ours in _NORMS.items()),
    *((f"{released}.norm.*", f"{ours}.norm.*") for released, ours in _NORMS.items()),
    ("resampler.layers.*.self_attn.q_proj.weight", "resampler.layers.*.attention.query.weight"),
    ("resampler.layers.*.self_attn.k_proj.weight", "resampler.layers.*.attention.key.weight"),
    ("resampler.layers.*.self_attn.v_proj.weight", "resampler.layers.*.attention.value.weight"),
    ("resampler.layers.*.self_attn.o_proj.weight", "resampler.layers.*.attention.out.weight"),
    ("resampler.layers.*.mlp.gate_proj.weight", "resampler.layers.*.gate.weight"),
    ("resampler.layers.*.mlp.up_proj.weight", "resampler.layers.*.up.weight"),
    ("resampler.layers.*.mlp.down_proj.weight", "resampler.layers.*.down.weight"),
)
"""Released names of a connector; see `layers/weights`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorConfig:
    """Shape of the projection and the resampler."""

    width_in: int
    """Joined channels of the towers."""
    width: int
    """The decoder's."""
    n_queries: int
    n_projections: int = 1
    """Linear layers of the projection, with GELU between them; one means no activation."""
    depth: int = 1
    n_heads: int = 16
    n_kv_heads: int = 4
    head_dim: int = 96
    mlp_ratio: int = 4

    def __post_init__(self) -> None:
        if self.n_projections < 1:
            raise ValueError(f"n_projections must be at least 1, not {self.n_projections}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads {self.n_heads} must be a multiple of n_kv_heads {self.n_kv_heads}"
            )

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "ConnectorConfig":
        """Read a released `config.json` of the connector.

        Raises:
            ValueError: A projector or resampler that no released checkpoint has.
        """
        projector = re.fullmatch(r"mlp(\d+)x_gelu", str(config["projector_type"]))
        # Upstream's spelling of "perceiver".
        if projector is None or config.get("resampler_type") != "perciver":
            raise ValueError(
                "a connector must be mlpNx_gelu and perciver, not "
                f"{config['projector_type']} and {config.get('resampler_type')}"
            )
        if config.get("hidden_act", "silu") != "silu":
            raise ValueError(f"hidden_act must be silu, not {config['hidden_act']!r}")
        return cls(
            width_in=config["vision_hidden_size"],
            width=config["text_hidden_size"],
            n_queries=config["num_output_tokens"],
            n_projections=int(projector[1]),
            depth=config["resampler_depth"],
            n_heads=config["resampler_n_heads"],
            n_kv_heads=config["num_key_value_heads"],
            head_dim=config["resampler_head_dim"],
            mlp_ratio=config["ff_multi"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `config.json` that `from_json` reads."""
        return {
            "architectures": ["Connector"],
            "model_type": "mm_connector",
            "projector_type": f"mlp{self.n_projections}x_gelu",
            "resampler_type": "perciver",
            "vision_hidden_size": self.width_in,
            "text_hidden_size": self.width,
            "num_output_tokens": self.n_queries,
            "resampler_depth": self.depth,
            "resampler_n_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "resampler_head_dim": self.head_dim,
            "ff_multi": self.mlp_ratio,
            "hidden_act": "silu",
        }


class Connector(nn.Module):
    """Projects the towers' tokens and resamples each clip to its queries."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.config = config
        self.projections = nn.Sequential(Linear(config.width_in, config.width))
        for _ in range(1, config.n_projections):
            self.projections.extend([nn.GELU(), Linear(config.width, config.width)])
        self.resampler = Resampler(config)

    def project(self, features: Float[Tensor, "*batch width_in"]) -> Float[Tensor, "*batch width"]:
        """Project tower features to the decoder's width; tokens are independent of each other."""
        projected: Tensor = self.projections(features)
        return projected

    def forward(
        self, features: Float[Tensor, "clip token width_in"]
    ) -> Float[Tensor, "clip query width"]:
        """Turn features of whole clips into the tokens that stand for them."""
        queries: Tensor = self.resampler(self.project(features))
        return queries


class Resampler(nn.Module):
    """Queries that read a clip."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(config.n_queries, config.width))
        self.layers = nn.ModuleList(ResamplerLayer(config) for _ in range(config.depth))
        self.norm = GainedNorm(config.width)
        self.reset_queries()

    def reset_queries(self) -> None:
        """Start training from distinct queries; equal ones would stay equal forever."""
        with torch.no_grad():
            # Upstream's values.
            nn.init.trunc_normal_(self.queries, mean=0.5, std=0.1)

    def forward(
        self, context: Float[Tensor, "clip token width"]
    ) -> Float[Tensor, "clip query width"]:
        """Read the same context in every layer with the queries of the layer before."""
        queries = self.queries.expand(len(context), -1, -1)
        for layer in self.layers:
            queries = layer(queries, context)
        out: Tensor = self.norm(queries)
        return out


class ResamplerLayer(nn.Module):
    """The queries read the context and each other, then a gated MLP."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        width, wide = config.width, config.mlp_ratio * config.width
        self.query_norm = GainedNorm(width)
        self.context_norm = GainedNorm(width)
        self.attention = CrossAttention(config)
        self.mlp_norm = GainedNorm(width)
        self.gate = Linear(width, wide, bias=False)
        self.up = Linear(width, wide, bias=False)
        self.down = Linear(wide, width, bias=False)

    def forward(
        self,
        queries: Float[Tensor, "clip query width"],
        context: Float[Tensor, "clip token width"],
    ) -> Float[Tensor, "clip query width"]:
        """Update the queries; the context does not change."""
        queries = queries + self.attention(self.query_norm(queries), self.context_norm(context))
        normed = self.mlp_norm(queries)
        transformed: Tensor = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return queries + transformed


class CrossAttention(nn.Module):
    """Grouped-query attention of the queries over the context and themselves."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        inner, inner_kv = (n * config.head_dim for n in (config.n_heads, config.n_kv_heads))
        self.query = Linear(config.width, inner, bias=False)
        self.key = Linear(config.width, inner_kv, bias=False)
        self.value = Linear(config.width, inner_kv, bias=False)
        self.out = Linear(inner, config.width, bias=False)

    def forward(
        self,
        queries: Float[Tensor, "clip query width"],
        context: Float[Tensor, "clip token width"],
    ) -> Float[Tensor, "clip query width"]:
        """Attend to the context, then to the queries; nothing is masked."""
        sources = torch.cat([context, queries], dim=1)
        query, key, value = (
            part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.query(queries), self.key(sources), self.value(sources))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class GainedNorm(nn.Module):
    """Layer norm with one more gain for each channel, kept apart as upstream trains it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Normalise the last axis."""
        normed: Tensor = self.norm(hidden)
        return normed * self.gain
