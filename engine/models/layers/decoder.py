"""Causal transformer decoder over explicit keys and values.

Covers Qwen2 and Qwen2.5 (q, k, v with bias), LLaMA, Vicuna and Mistral (without) and Qwen3 (heads
of q and k normed), with a tied or an untied head; and Mixtral, whose MLP is a mixture of experts. A
decoder may own a second set of q, k, v projections for summary tokens, which `video_xl/vst` uses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from engine.models.layers.attention import (
    AttentionMask,
    attend,
    attention_weights,
    build_mask,
)
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.experts import Experts
from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.products import Linear, add_linear
from engine.models.layers.products import linear as product
from engine.models.layers.rotary import (
    RopeFactors,
    apply_rope,
    grid_rope_factors,
    rope_factors,
)

_EXPERT = "model.layers.*.block_sparse_moe.experts.*"
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
    ("model.layers.*.self_attn.q_norm.weight", "layers.*.attention.query_norm.weight"),
    ("model.layers.*.self_attn.k_norm.weight", "layers.*.attention.key_norm.weight"),
    ("model.layers.*.mlp.gate_proj.*", "layers.*.gate_up.gate.*"),
    ("model.layers.*.mlp.up_proj.*", "layers.*.gate_up.up.*"),
    ("model.layers.*.mlp.down_proj.*", "layers.*.down.*"),
    ("model.layers.*.block_sparse_moe.gate.weight", "layers.*.experts.router.weight"),
    (f"{_EXPERT}.w1.weight", "layers.*.experts.each.*.gate_up.gate.weight"),
    (f"{_EXPERT}.w3.weight", "layers.*.experts.each.*.gate_up.up.weight"),
    (f"{_EXPERT}.w2.weight", "layers.*.experts.each.*.down.weight"),
)
"""Released names that Qwen2, Qwen3, LLaMA, Vicuna, Mistral and Mixtral share; see
`layers/weights`."""


def zero_embedding(n_rows: int, width: int) -> nn.Embedding:
    """Make an embedding of zeros, for weights to come.

    `nn.Embedding` draws its rows at random, and to draw on the meta device torch imports its
    compiler: 2 s of CPU before a model of 4 MB is loaded.
    """
    return nn.Embedding(n_rows, width, _weight=torch.zeros(n_rows, width))


def add_product(
    x: Float[Tensor, "row width"], rows: Float[Tensor, "row inner"], linear: nn.Module
) -> Float[Tensor, "row width"]:
    """Add a product to the residual, in one operation where the layer is a plain one."""
    if type(linear) is Linear and linear.bias is None and not torch.is_grad_enabled():
        return add_linear(x, rows, linear.weight)
    added: Tensor = x + linear(rows)
    return added


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
        shape = (config.n_layers, batch, config.n_kv_heads, _rounded(capacity), config.head_dim)
        # Zeros, because a key that a mask hides still multiplies what lies here by nothing.
        self.pairs = like.new_zeros((2, *shape))
        """Keys, then values: one tensor, so that a step writes both at once."""
        self.n = 0
        self.shift = 0
        """Positions that the next token stands beyond the count of tokens; negative behind grids,
        whose tokens share positions."""

    @property
    def keys(self) -> Float[Tensor, "layer batch kv_head token head_dim"]:
        """Keys after rotary embedding; a view."""
        return self.pairs[0]

    @property
    def values(self) -> Float[Tensor, "layer batch kv_head token head_dim"]:
        """Values; a view."""
        return self.pairs[1]

    def copy_from(self, source: "KvBuffer") -> None:
        """Start over with the tokens of another buffer, repeated for each sequence of the batch."""
        self.n = 0
        self.reserve(source.n)
        self.pairs[:, :, :, :, : source.n] = source.pairs[:, :, :, :, : source.n]
        self.n, self.shift = source.n, source.shift

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.pairs.shape[4]

    def reserve(self, n_more: int) -> None:
        """Make room for `n_more` tokens, at least doubling when it grows."""
        if self.n + n_more <= self.capacity:
            return
        old, capacity = self.pairs, _rounded(max(self.n + n_more, 2 * self.capacity))
        self.pairs = old.new_zeros((*old.shape[:4], capacity, old.shape[5]))
        self.pairs[:, :, :, :, : self.n] = old[:, :, :, :, : self.n]


def _rounded(capacity: int) -> int:
    """Round up to whole groups of eight: masks of fused kernels are laid out so."""
    return -(-capacity // 8) * 8


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
        self.out = Linear(inner, config.width, bias=False)
        has_norm, eps = config.has_qk_norm, config.norm_eps
        self.query_norm = RmsNorm(config.head_dim, eps) if has_norm else None
        self.key_norm = RmsNorm(config.head_dim, eps) if has_norm else None

    def split(
        self, qkv: Float[Tensor, "batch token inner"]
    ) -> tuple[
        Float[Tensor, "batch head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
    ]:
        """Split projections into the heads of q, k and v: views, where no norm comes between."""
        n_heads, n_kv_heads, head_dim = self.shape
        heads = qkv.view(*qkv.shape[:2], n_heads + 2 * n_kv_heads, head_dim).transpose(1, 2)
        q, k, v = torch.split(heads, [n_heads, n_kv_heads, n_kv_heads], 1)
        if self.query_norm is None or self.key_norm is None:
            return q, k, v
        return self.query_norm(q), self.key_norm(k), v

    def split_kv(
        self, kv: Float[Tensor, "batch token inner"]
    ) -> tuple[
        Float[Tensor, "batch kv_head token head_dim"],
        Float[Tensor, "batch kv_head token head_dim"],
    ]:
        """Split projections into the heads of k and v."""
        _, n_kv_heads, head_dim = self.shape
        heads = kv.view(*kv.shape[:2], 2 * n_kv_heads, head_dim).transpose(1, 2)
        k, v = torch.split(heads, n_kv_heads, 1)
        return (k, v) if self.key_norm is None else (self.key_norm(k), v)

    def merge(
        self, heads: Float[Tensor, "batch head token head_dim"]
    ) -> Float[Tensor, "batch token width"]:
        """Join the heads and project back to the decoder's width."""
        merged: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return merged


class Layer(nn.Module):
    """Norm, attention, norm, MLP; the caller runs the attention over its own keys.

    The MLP is one gated one, or a mixture of experts, and the layer then has none of its own.
    """

    gate_up: FusedLinear
    down: nn.Linear

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(config.width, config.norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RmsNorm(config.width, config.norm_eps)
        self.experts = Experts(config) if config.n_experts else None
        if self.experts is None:
            self.gate_up = FusedLinear(
                config.width, {"gate": config.mlp_width, "up": config.mlp_width}, bias=False
            )
            self.down = Linear(config.mlp_width, config.width, bias=False)

    def forward(self, compute: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Return `compute(self, *inputs)`: training calls a layer so, that hooks may see the call.

        Weights that are sharded over processes are gathered for the time of it.
        """
        return compute(self, *inputs)

    def mlp(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Apply the norm and the MLP, without the residual."""
        mixed = self.experts
        out: Tensor = self.down(self.gated(x)) if mixed is None else mixed(self.mlp_norm(x))
        return out

    def gated(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Apply the norm and the first half of the MLP."""
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        product: Tensor = F.silu(gate).mul_(up)
        return product


MLP_ROWS = 512
"""Rows whose inner activations are held at once on a CPU: a quarter less peak memory of a fold."""


def add_mlp(x: Float[Tensor, "row width"], layer: Layer) -> Float[Tensor, "row width"]:
    """Add a layer's MLP to rows that nobody else holds; in place and by blocks on a CPU."""
    if layer.experts is not None:
        return x + layer.mlp(x)
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return add_product(x, layer.gated(x), layer.down)
    for rows in torch.split(x, MLP_ROWS):
        rows += layer.down(layer.gated(rows))
    return x


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
        self.head = None if config.is_tied else Linear(config.width, config.vocab_size, bias=False)

    def stack(self) -> list[Layer]:
        """Return the layers under their own type."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def buffer(self, capacity: int, *, batch: int = 1) -> KvBuffer:
        """Allocate an empty KV cache of this decoder's shape, device and dtype."""
        return KvBuffer(self.config, capacity, like=self.embed.weight.detach(), batch=batch)

    def rope(self, positions: Int64[Tensor, " token"]) -> RopeFactors:
        """Compute the rotary factors of these positions."""
        return rope_factors(positions, self.config.head_dim, self.config.rope_theta)

    def grid_rope(self, positions: Int64[Tensor, "3 token"]) -> RopeFactors:
        """Compute the rotary factors of positions in time, rows and columns."""
        config = self.config
        assert config.rope_sections is not None, "this decoder turns by one position alone"
        return grid_rope_factors(
            positions, config.head_dim, config.rope_theta, config.rope_sections
        )

    def logits(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocab"]:
        """Score the next token from rows after the final norm."""
        head = self.embed.weight if self.head is None else self.head.weight
        return product(hidden, head, None)

    def extend(
        self,
        x: Float[Tensor, "batch token width"],
        buffer: KvBuffer,
        *,
        rope: RopeFactors | None = None,
        mask: AttentionMask | None = None,
        added: Sequence[Float[Tensor, "batch token width"]] = (),
        kv_trace: KvTrace | None = None,
        attn_weights: list[Tensor] | None = None,
        n_query_rows: int = 1,
        stop_after_weights: bool = False,
    ) -> Float[Tensor, "batch token width"]:
        """Run tokens behind a KV cache, causally, and append them to it.

        Args:
            x: Embeddings; they take the positions that follow those of the buffer.
            buffer: Read and appended to in place.
            rope: Rotations of other positions; the caller sees to the buffer's `shift`.
            mask: Keys that the tokens may see, where these are not all up to themselves.
            added: Summands of the rows behind each of the first layers.
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
        if rope is None:
            first = n_past + buffer.shift
            rope = self.rope(torch.arange(first, first + n, device=x.device))
        mask = mask or build_mask(n_past, "causal", n, self.config.n_groups, like=x)
        if attn_weights is not None:
            # The chosen rows are the last of the step, so the others lie left of their triangle.
            late = torch.ones(n_query_rows, n, dtype=torch.bool, device=x.device)
            late = late.tril(n - n_query_rows)
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
            if depth < len(added):
                x = x + added[depth]
        buffer.n = end
        out: Tensor = self.norm(x)
        return out
