"""Grouped-query attention over keys and values that the caller holds.

Every query sees the whole past and, of the current tokens, those that a mask or the causal rule
shows it. Heads of a group share their keys and values without a copy.

Decision: a short step takes one kernel with a dense mask; a long one attends to the past without
a mask and to the current tokens with their own, and merges the two by their log-sum-exp, because
a mask over a past of 65,000 latents would be larger than the keys. Both are exact; gradients
pass through the dense form only, so `video_xl/parallel_forward` has forms of its own.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from engine import device as devices
from engine.device import FlashAttention

DENSE_ENTRIES = 1 << 20
"""Mask entries up to which one masked kernel is taken; measured on a CPU, where it beats two
kernels and a merge below 2^15 twofold and loses to them above 2^20."""

Current = Literal["all", "causal"] | Tensor
"""Current tokens that each query sees: all, those up to itself, or a boolean `query current`."""


@dataclass(frozen=True, slots=True)
class AttentionMask:
    """Keys that the queries of one step may see; built once a step, shared by all layers."""

    dense: Float[Tensor, "row key"] | None
    """Added to the scores of a short step; a row for each query of each head of a group."""
    n_past: int = 0
    """Keys before the current ones, of a long step; 0 leaves it whole."""
    current: Float[Tensor, "row current"] | None = None
    """Mask of a long step over its current tokens."""
    is_causal: bool = False
    """Whether the current tokens of a long step see those up to themselves."""


def build_mask(
    n_past: int, current: Current, n: int, n_groups: int, *, like: Tensor, is_exact: bool = False
) -> AttentionMask:
    """Build the attention mask of a step.

    Args:
        n_past: Keys before the current ones.
        current: Current tokens that each query sees.
        n: Current tokens; also the queries, unless `current` is a mask.
        n_groups: Query heads for each key and value head.
        like: Gives dtype and device.
        is_exact: Keep to the dense form, which `attention_weights` needs.
    """
    # A single token sees everything up to itself, which is everything.
    if isinstance(current, str) and (current == "all" or n == 1):
        return AttentionMask(None)
    n_queries = n if isinstance(current, str) else current.shape[0]
    is_short = n_groups * n_queries * (n_past + n) <= DENSE_ENTRIES
    if is_short or is_exact:
        visible = current if isinstance(current, Tensor) else _triangle(n, like.device)
        return AttentionMask(_additive(n_past, visible, n_groups, like))
    if isinstance(current, Tensor):
        return AttentionMask(None, n_past, _additive(0, current, n_groups, like))
    return AttentionMask(None, n_past, None, True)


def attend(
    q: Float[Tensor, "batch head query head_dim"],
    k: Float[Tensor, "batch kv_head key head_dim"],
    v: Float[Tensor, "batch kv_head key head_dim"],
    mask: AttentionMask,
) -> Float[Tensor, "batch head query head_dim"]:
    """Compute softmax attention of grouped heads, scaled by the root of the head size."""
    if mask.current is None and not mask.is_causal:
        out = F.scaled_dot_product_attention(_fold_groups(q, k), k, v, attn_mask=mask.dense)
        return out.reshape(q.shape)
    n_past, n = mask.n_past, k.shape[2]
    current, current_lse = _with_lse(
        q, k[:, :, n_past:n], v[:, :, n_past:n], mask.current, mask.is_causal
    )
    if not n_past:
        return current
    past, past_lse = _with_lse(q, k[:, :, :n_past], v[:, :, :n_past], None, False)
    # The past's share of the softmax is exp(past_lse - logaddexp(both)), which is one sigmoid.
    share = torch.sigmoid(past_lse - current_lse)[..., None]
    return torch.lerp(current.float(), past.float(), share).to(q.dtype)


def attention_weights(
    q: Float[Tensor, "batch head query head_dim"],
    k: Float[Tensor, "batch kv_head key head_dim"],
    mask: AttentionMask,
) -> Float32[Tensor, "batch query key"]:
    """Compute the attention weights of some queries, averaged over heads.

    Args:
        q: Queries after rotary embedding.
        k: All keys, after rotary embedding.
        mask: Of the dense form.
    Cost: the scores of these queries once more; for a few queries little beside a layer.
    """
    scores = (_fold_groups(q, k) @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if mask.dense is not None:
        scores = scores + mask.dense.float()
    weights: Tensor = scores.softmax(-1)
    per_head: Tensor = weights.reshape(q.shape[0], q.shape[1], q.shape[2], -1)
    return per_head.mean(1)


def _fold_groups(q: Tensor, k: Tensor) -> Tensor:
    """Queries of the heads of a group, one behind the other: `batch kv_head row head_dim`."""
    return q.reshape(q.shape[0], k.shape[1], -1, q.shape[-1])


def _triangle(n: int, device: torch.device) -> Bool[Tensor, "query current"]:
    return torch.ones(n, n, dtype=torch.bool, device=device).tril()


def _additive(n_past: int, visible: Tensor, n_groups: int, like: Tensor) -> Tensor:
    """Turn a boolean mask over the current tokens into summands, a row for each head of a group."""
    n_queries, n = visible.shape
    mask = torch.zeros(n_groups, n_queries, n_past + n, dtype=like.dtype, device=like.device)
    mask[:, :, n_past:].masked_fill_(~visible.to(like.device), float("-inf"))
    return mask.flatten(0, 1)


def _with_lse(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool
) -> tuple[Tensor, Tensor]:
    """Attention and the log-sum-exp of its scores, `batch head query`."""
    # No public function hands out the log-sum-exp; these are the kernels behind the fused one.
    aten = torch.ops.aten
    shape = q.shape
    if q.device.type == "cpu":
        folded = q if is_causal else _fold_groups(q, k)
        bias = None if mask is None else mask[None, None]
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(
            folded, k, v, is_causal=is_causal, attn_mask=bias
        )[:2]
    elif q.device.type == "cuda" and mask is None and _suits_flash(q):
        # This kernel shares keys among the heads of a group by itself: nothing is folded.
        flash = _installed_flash(q.device, q.dtype, q.shape[1], k.shape[1], q.shape[3])
        if flash is not None:
            out, lse = flash(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal)
            return out.transpose(1, 2), lse
        out, lse = aten._scaled_dot_product_flash_attention(q, k, v, is_causal=is_causal)[:2]
    else:
        if is_causal:
            n = q.shape[2]
            mask = _additive(0, _triangle(n, q.device), q.shape[1] // k.shape[1], q)
        out, lse = _blockwise(_fold_groups(q, k), k, v, mask)
    return out.reshape(shape), lse.reshape(shape[:3])


@cache
def _installed_flash(
    device: torch.device, dtype: torch.dtype, n_heads: int, n_kv_heads: int, head_dim: int
) -> FlashAttention | None:
    """Return flash-attn's kernel where it is there, gives torch's results, and is faster.

    Cost: once for each shape of heads, a few milliseconds on a chunk's worth of rows.
    """
    flash = devices.installed_flash_attention() if devices.is_real(device) else None
    if flash is None:
        return None
    random = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, 1620, heads, head_dim, generator=random).to(device, dtype)
        for heads in (n_heads, n_kv_heads, n_kv_heads)
    )

    def torchs() -> tuple[Tensor, Tensor]:
        heads = (rows.transpose(1, 2) for rows in (q, k, v))
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(*heads, is_causal=True)[:2]
        return out.transpose(1, 2), lse

    is_better = devices.is_better(
        lambda: flash(q, k, v, True), torchs, devices.time_on_device, tolerance=FLASH_TOLERANCE
    )
    return flash if is_better else None


FLASH_TOLERANCE = 0.02
"""Largest difference of two kernels in 16 bit, in the largest value: their sums differ in order."""


def _suits_flash(q: Tensor) -> bool:
    """Tell whether the accelerator's flash kernel takes these queries as they are."""
    return q.dtype in (torch.bfloat16, torch.float16) and q.shape[-1] % 8 == 0


BLOCK_KEYS = 4096
"""Keys a block where no kernel hands out the log-sum-exp; bounds the scores held at once."""


def _blockwise(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute attention by blocks of keys with a running maximum, in float32."""
    scale = q.shape[-1] ** -0.5
    top = q.new_full(q.shape[:3], float("-inf"), dtype=torch.float32)
    total, out = torch.zeros_like(top), torch.zeros_like(q, dtype=torch.float32)
    for start in range(0, k.shape[2], BLOCK_KEYS):
        block = slice(start, start + BLOCK_KEYS)
        scores = (q @ k[:, :, block].transpose(-1, -2)).float() * scale
        if mask is not None:
            scores = scores + mask[:, block].float()
        new_top = torch.maximum(top, scores.amax(-1))
        # Rows that have seen nothing yet stay at minus infinity, whose difference is no number.
        safe = new_top.masked_fill(new_top.isinf(), 0.0)
        chances, fade = (scores - safe[..., None]).exp(), (top - safe).exp()
        total = total * fade + chances.sum(-1)
        out = out * fade[..., None] + (chances.to(v.dtype) @ v[:, :, block]).float()
        top = new_top
    return (out / total[..., None]).to(q.dtype), total.log() + top
