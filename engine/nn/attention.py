"""Grouped-query attention; keys and values are passed in and handed back.

Heads of a group are folded into the query axis, so keys and values are never repeated.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """What the queries of one step may see; made once a step, shared by all layers."""

    mask: Float[Tensor, "row key"] | None
    """Added to the scores, a row for each query of each head of a group; `None` sees all."""


def view(
    n_past: int,
    visible: Bool[Tensor, "query current"] | None,
    n_groups: int,
    *,
    dtype: torch.dtype,
) -> View:
    """All of the past, and of the current tokens what is marked visible.

    Args:
        n_past: Keys before the current ones.
        visible: Which current tokens each query sees; `None` for all of them.
        n_groups: Query heads for each key and value head.
        dtype: That of the queries.
    """
    if visible is None:
        return View(None)
    mask = torch.zeros(visible.shape[0], n_past + visible.shape[1], dtype=dtype)
    mask = mask.to(visible.device)
    mask[:, n_past:].masked_fill_(~visible, float("-inf"))
    return View(mask.repeat(n_groups, 1))


def causal(n: int, device: torch.device) -> Bool[Tensor, "query current"] | None:
    """Each of `n` current tokens sees itself and those before it."""
    return None if n == 1 else torch.ones(n, n, dtype=torch.bool, device=device).tril()


def attend(
    q: Float[Tensor, "batch head query head_dim"],
    k: Float[Tensor, "batch kv_head key head_dim"],
    v: Float[Tensor, "batch kv_head key head_dim"],
    sight: View,
) -> Float[Tensor, "batch head query head_dim"]:
    """Softmax attention of grouped heads, scaled by the root of the head size."""
    folded = q.reshape(q.shape[0], k.shape[1], -1, q.shape[-1])
    out = F.scaled_dot_product_attention(folded, k, v, attn_mask=sight.mask)
    return out.reshape(q.shape)


def weights_of(
    q: Float[Tensor, "batch head query head_dim"],
    k: Float[Tensor, "batch kv_head key head_dim"],
    sight: View,
) -> Float32[Tensor, "batch query key"]:
    """Attention weights averaged over heads: where the queries look.

    Cost: the scores of these queries once more; for a few queries little beside a layer.
    """
    folded = q.reshape(q.shape[0], k.shape[1], -1, q.shape[-1])
    scores = (folded @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if sight.mask is not None:
        scores = scores + sight.mask.float()
    weights: Tensor = scores.softmax(-1)
    per_head: Tensor = weights.reshape(q.shape[0], q.shape[1], q.shape[2], -1)
    return per_head.mean(1)
