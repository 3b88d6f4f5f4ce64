"""Causal transformer decoder over explicit keys and values.

Covers Qwen2 and Qwen2.5 (q, k, v with bias), LLaMA, Vicuna and Mistral (without), with a tied or
an untied head. A decoder may own a second set of q, k, v projections for summary tokens, which
`video_xl/vst` uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from engine.models.layers.attention import attend, attention_weights, build_mask
from engine.models.layers.rotary import RopeFactors, apply_rope, rope_factors

KEY_MAP = (
    ("model.embed_tokens.weight", "embed.weight"),
    ("model.norm.weight", "norm.weight"),
    ("lm_head.weight", "head.weight"),
    ("model.layers.*.self_attn.rotary_emb.inv_freq", ""),
    ("model.layers.*.input_layernorm.weight", "layers.*.attention_norm.weight"),
    ("model.layers.*.post_attention_layernorm.weight", "layers.*.mlp_norm.weight"),
    ("model.layers.*.self_attn.q_proj.*", "layers.*.attention.qkv.q.*"),
    ("model.layers.*.self_attn.k_proj.*", "layers.*.attention.qkv.k.*"),
    ("model.layers.*.self_attn.v_proj.*", "layers.*.attention.qkv.v.*"),
    ("model.layers.*.self_attn.o_proj.*", "layers.*.attention.out.*"),
    ("model.layers.*.mlp.gate_proj.*", "layers.*.gate_up.gate.*"),
    ("model.layers.*.mlp.up_proj.*", "layers.*.gate_up.up.*"),
    ("model.layers.*.mlp.down_proj.*", "layers.*.down.*"),
)
"""Released names that Qwen2, LLaMA, Vicuna and Mistral share; see `layers/weights`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes and switches of a decoder stack."""

    vocab_size: int
    width: int
    mlp_width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    qkv_bias: bool = False
    is_tied: bool = False
    """Whether the head is the embedding table."""
    has_vst: bool = False
    """Whether summary tokens have projections and an embedding of their own."""
    max_positions: int = 32_768

    def __post_init__(self) -> None:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads must be a multiple of n_kv_heads, not {self.n_heads}/{self.n_kv_heads}"
            )

    @property
    def n_groups(self) -> int:
        """Query heads for each key and value head."""
        return self.n_heads // self.n_kv_heads

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `config.json` that `from_json` reads."""
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.width,
            "intermediate_size": self.mlp_width,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "attention_bias": self.qkv_bias,
            "tie_word_embeddings": self.is_tied,
            "use_sliding_window": False,
            "max_position_embeddings": self.max_positions,
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any], *, has_vst: bool = False) -> "DecoderConfig":
        """Read the fields of a released `config.json` (Qwen2, LLaMA, Mistral spellings).

        Raises:
            ValueError: The config asks for scaled rotary embedding or windowed attention.
        """
        rope = config.get("rope_parameters") or {}
        scaling = config.get("rope_scaling") or rope
        if scaling.get("rope_type", scaling.get("type", "default")) != "default":
            raise ValueError(f"rope_scaling is not supported: {scaling}")
        width, n_heads = config["hidden_size"], config["num_attention_heads"]
        # Qwen2 has a bias on q, k and v, and its configs do not say so.
        is_qwen = "qwen" in str(config.get("model_type", "")).lower()
        return cls(
            vocab_size=config["vocab_size"],
            width=width,
            mlp_width=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=n_heads,
            n_kv_heads=config.get("num_key_value_heads") or n_heads,
            head_dim=config.get("head_dim") or width // n_heads,
            rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            qkv_bias=bool(config.get("attention_bias", is_qwen)),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            has_vst=has_vst,
            max_positions=config.get("max_position_embeddings", 32_768),
        )


def zero_embedding(n_rows: int, width: int) -> nn.Embedding:
    """Make an embedding of zeros, for weights to come.

    `nn.Embedding` draws its rows at random, and to draw on the meta device torch imports its
    compiler: 2 s of CPU before a model of 4 MB is loaded.
    """
    return nn.Embedding(n_rows, width, _weight=torch.zeros(n_rows, width))


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


class RmsNorm(nn.Module):
    """Root-mean-square norm with statistics in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Normalise the last axis."""
        # Differs from upstream in 16 bit: the weight is applied before the result is rounded.
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class KvBuffer:
    """KV cache of a decoder: keys after rotary embedding and values, preallocated for all layers.

    The owner appends at `n` and may cut back to any earlier `n`; everything beyond is scratch.
    """

    def __init__(
        self, config: DecoderConfig, capacity: int, *, like: Tensor, batch: int = 1
    ) -> None:
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_dim)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.n = 0

    def copy_from(self, source: "KvBuffer") -> None:
        """Start over with the tokens of another buffer, repeated for each sequence of the batch."""
        self.n = 0
        self.reserve(source.n)
        self.keys[:, :, :, : source.n] = source.keys[:, :, :, : source.n]
        self.values[:, :, :, : source.n] = source.values[:, :, :, : source.n]
        self.n = source.n

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.keys.shape[3]

    def reserve(self, n_more: int) -> None:
        """Make room for `n_more` tokens, at least doubling when it grows."""
        if self.n + n_more <= self.capacity:
            return
        capacity = max(self.n + n_more, 2 * self.capacity)
        for name in ("keys", "values"):
            old: Tensor = getattr(self, name)
            new = old.new_zeros((*old.shape[:3], capacity, old.shape[4]))
            new[:, :, :, : self.n] = old[:, :, :, : self.n]
            setattr(self, name, new)


class Attention(nn.Module):
    """The projections of one layer's attention."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.shape = (config.n_heads, config.n_kv_heads, config.head_dim)
        inner, kv_inner = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        parts = {"q": inner, "k": kv_inner, "v": kv_inner}
        self.qkv = FusedLinear(config.width, parts, bias=config.qkv_bias)
        self.vst_qkv = (
            FusedLinear(config.width, parts, bias=config.qkv_bias) if config.has_vst else None
        )
        self.out = nn.Linear(inner, config.width, bias=False)

    def split(
        self, qkv: Float[Tensor, "batch token inner"]
    ) -> tuple[
        Float[Tensor, "batch head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
    ]:
        """Split projections into the heads of q, k and v, as views."""
        n_heads, n_kv_heads, head_dim = self.shape
        heads = qkv.view(*qkv.shape[:2], n_heads + 2 * n_kv_heads, head_dim).transpose(1, 2)
        q, k, v = torch.split(heads, [n_heads, n_kv_heads, n_kv_heads], 1)
        return q, k, v

    def split_kv(
        self, kv: Float[Tensor, "batch token inner"]
    ) -> tuple[
        Float[Tensor, "batch kv_head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
    ]:
        """Split projections into the heads of k and v, as views."""
        _, n_kv_heads, head_dim = self.shape
        heads = kv.view(*kv.shape[:2], 2 * n_kv_heads, head_dim).transpose(1, 2)
        k, v = torch.split(heads, n_kv_heads, 1)
        return k, v

    def merge(
        self, heads: Float[Tensor, "batch head token head_dim"]
    ) -> Float[Tensor, "batch token width"]:
        """Join the heads and project back to the decoder's width."""
        merged: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return merged


class Layer(nn.Module):
    """Norm, attention, norm, gated MLP; the caller runs the attention over its own keys."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(config.width, config.norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RmsNorm(config.width, config.norm_eps)
        self.gate_up = FusedLinear(
            config.width, {"gate": config.mlp_width, "up": config.mlp_width}, bias=False
        )
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def mlp(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Apply the norm and the gated MLP, without the residual."""
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


@dataclass(frozen=True, slots=True)
class KvTrace:
    """Keys before rotary embedding and values that a step computed, by layer."""

    keys: list[Tensor]
    values: list[Tensor]


class Decoder(nn.Module):
    """Embedding, layers, final norm and head."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = zero_embedding(config.vocab_size, config.width)
        self.vst_embed = nn.Parameter(torch.zeros(1, config.width)) if config.has_vst else None
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = RmsNorm(config.width, config.norm_eps)
        self.head = (
            None if config.is_tied else nn.Linear(config.width, config.vocab_size, bias=False)
        )

    def stack(self) -> list[Layer]:
        """Return the layers under their own type."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def buffer(self, capacity: int, *, batch: int = 1) -> KvBuffer:
        """Allocate an empty KV cache of this decoder's shape, device and dtype."""
        return KvBuffer(self.config, capacity, like=self.embed.weight.detach(), batch=batch)

    def rope(self, positions: Int64[Tensor, " token"]) -> RopeFactors:
        """Compute the rotary factors of these positions."""
        return rope_factors(positions, self.config.head_dim, self.config.rope_theta)

    def logits(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocab"]:
        """Score the next token from rows after the final norm."""
        head = self.embed.weight if self.head is None else self.head.weight
        return F.linear(hidden, head)

    def extend(
        self,
        x: Float[Tensor, "batch token width"],
        buffer: KvBuffer,
        *,
        kv_trace: KvTrace | None = None,
        attn_weights: list[Tensor] | None = None,
        n_query_rows: int = 1,
        stop_after_weights: bool = False,
    ) -> Float[Tensor, "batch token width"]:
        """Run tokens behind a KV cache, causally, and append them to it.

        Args:
            x: Embeddings; they take the positions `buffer.n`, `buffer.n + 1`, ...
            buffer: Read and appended to in place.
            kv_trace: Receives each layer's keys (before rotary embedding) and values.
            attn_weights: Receives each layer's attention weights, averaged over heads.
            n_query_rows: Rows, from the end, whose attention weights are wanted.
            stop_after_weights: Stop once the last layer's weights are known, and leave the
                length of the buffer as it was; the rows that come back mean nothing then.
        Returns:
            Rows after the final norm.
        """
        n_past, n = buffer.n, x.shape[1]
        buffer.reserve(n)
        end = n_past + n
        rope = self.rope(torch.arange(n_past, end, device=x.device))
        mask = build_mask(n_past, "causal", n, self.config.n_groups, like=x)
        if attn_weights is not None:
            # The chosen rows are the last of the step, so the others lie left of their triangle.
            late = torch.ones(n_query_rows, n, dtype=torch.bool).tril(n - n_query_rows)
            weights_mask = build_mask(n_past, late, n, self.config.n_groups, like=x, is_exact=True)
        for depth, layer in enumerate(self.stack()):
            attention = layer.attention
            q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
            if kv_trace is not None:
                kv_trace.keys.append(k)
                kv_trace.values.append(v)
            q = apply_rope(q, rope)
            keys, values = buffer.keys[depth], buffer.values[depth]
            # Keys are cached rotated: a token keeps its position for as long as it stays.
            keys[:, :, n_past:end] = apply_rope(k, rope)
            values[:, :, n_past:end] = v
            if attn_weights is not None:
                attn_weights.append(
                    attention_weights(q[:, :, -n_query_rows:], keys[:, :, :end], weights_mask)
                )
                # The last layer's output and MLP would change no weight any more.
                if stop_after_weights and depth + 1 == len(self.layers):
                    return x
            x = x + attention.merge(attend(q, keys[:, :, :end], values[:, :, :end], mask))
            x = x + layer.mlp(x)
        buffer.n = end
        out: Tensor = self.norm(x)
        return out
