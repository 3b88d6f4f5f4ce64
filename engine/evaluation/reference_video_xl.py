"""The slow, obvious Video-XL: every row of every layer, caches joined anew at every step.

The oracle of the fast path, with which it shares no code, and the baseline of the prefill
benchmark: cached keys are rotated again for every step, heads are repeated, the mask is dense, and
the head runs over all rows, as in the public code's eager form.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class ReferenceVideoXl:
    """One video and its questions, on weights under their released names."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: Mapping[str, Any], *, is_eager: bool = True
    ) -> None:
        self.is_eager = is_eager
        """Whether scores are written out; else torch's fused attention, as the public code may."""
        self.w = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        self.n_layers: int = config["num_hidden_layers"]
        self.n_heads: int = config["num_attention_heads"]
        self.n_kv_heads: int = config["num_key_value_heads"]
        self.head_dim: int = config.get("head_dim") or config["hidden_size"] // self.n_heads
        self.theta: float = config["rope_theta"]
        self.eps: float = config["rms_norm_eps"]
        self.vocab_size: int = config["vocab_size"]
        self.keys: list[Tensor | None] = [None] * self.n_layers
        """Before rotary embedding, `kv_head token head_dim`."""
        self.values: list[Tensor | None] = [None] * self.n_layers
        self.weights: list[Tensor] = []
        """Attention weights of the last step, `head row key` for each layer; eager form only."""

    def forget(self) -> None:
        """Start over with an empty cache."""
        self.keys, self.values = [None] * self.n_layers, [None] * self.n_layers

    def read_text(self, ids: Sequence[int]) -> Tensor:
        """Read text and keep all of it; return the logits of every token."""
        rows = self.w["embed_tokens.weight"][torch.tensor(ids)]
        return self.step(rows, [False] * len(ids), keep=[True] * len(ids))

    def read_chunk(
        self, visual: Tensor, ratio: int, *, leftover: int = 0, is_closed: bool = False
    ) -> int:
        """Compress a chunk, keeping its summary tokens; return how many tokens are left over."""
        rows: list[Tensor] = []
        kinds: list[bool] = []
        for token in visual:
            rows.append(token)
            kinds.append(False)
            leftover += 1
            if leftover == ratio:
                rows.append(self.w["beacon_embed_tokens.weight"][0])
                kinds.append(True)
                leftover = 0
        if is_closed and leftover:
            rows.append(self.w["beacon_embed_tokens.weight"][0])
            kinds.append(True)
            leftover = 0
        self.step(torch.stack(rows), kinds, keep=kinds)
        return leftover

    def step(self, rows: Tensor, is_vst: Sequence[bool], keep: Sequence[bool]) -> Tensor:
        """Run rows behind the cache, then keep the chosen ones; return the logits of all."""
        vst, kept = torch.tensor(is_vst), torch.tensor(keep)
        x = rows
        self.weights = []
        for depth in range(self.n_layers):
            x = x + self._attention(self._norm(x, depth, "input_layernorm"), depth, vst, kept)
            x = x + self._mlp(self._norm(x, depth, "post_attention_layernorm"), depth)
        normed = self._rms(x, self.w["norm.weight"])
        head = self.w.get("lm_head.weight", self.w["embed_tokens.weight"])
        return (normed @ head.T)[:, : self.vocab_size]

    def _attention(self, x: Tensor, depth: int, vst: Tensor, kept: Tensor) -> Tensor:
        q, k, v = (self._project(x, depth, name, vst) for name in "qkv")
        past_k, past_v = self.keys[depth], self.values[depth]
        all_k = k if past_k is None else torch.cat((past_k, k), 1)
        all_v = v if past_v is None else torch.cat((past_v, v), 1)
        n, n_all = x.shape[0], all_k.shape[1]
        positions = torch.arange(n_all)
        rotated_q = self._rotate(q, positions[n_all - n :])
        repeat = self.n_heads // self.n_kv_heads
        rotated_k = self._rotate(all_k, positions).repeat_interleave(repeat, 0)
        hidden = positions[None, :] > positions[n_all - n :, None]
        repeated_v = all_v.repeat_interleave(repeat, 0)
        if self.is_eager:
            scores = rotated_q @ rotated_k.transpose(1, 2) / self.head_dim**0.5
            scores = scores.masked_fill(hidden, float("-inf"))
            weights = scores.float().softmax(-1)
            self.weights.append(weights)
            out = weights.to(x.dtype) @ repeated_v
        else:
            mask = torch.zeros(n, n_all).masked_fill(hidden, float("-inf")).to(x.dtype)
            out = torch.nn.functional.scaled_dot_product_attention(
                rotated_q[None], rotated_k[None], repeated_v[None], attn_mask=mask
            )[0]
        n_past = n_all - n
        self.keys[depth] = torch.cat((all_k[:, :n_past], k[:, kept]), 1)
        self.values[depth] = torch.cat((all_v[:, :n_past], v[:, kept]), 1)
        joined = out.transpose(0, 1).reshape(n, -1)
        return torch.matmul(joined, self.w[f"layers.{depth}.self_attn.o_proj.weight"].T)

    def _project(self, x: Tensor, depth: int, name: str, vst: Tensor) -> Tensor:
        """Project ordinary and summary rows, each by their own weights; `head token head_dim`."""
        out = [
            x @ self.w[f"layers.{depth}.self_attn.{kind}{name}_proj.weight"].T
            + self.w[f"layers.{depth}.self_attn.{kind}{name}_proj.bias"]
            for kind in ("", "beacon_")
        ]
        mixed = torch.where(vst[:, None], out[1], out[0])
        return mixed.reshape(x.shape[0], -1, self.head_dim).transpose(0, 1)

    def _rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        half = self.head_dim // 2
        speed = self.theta ** (-torch.arange(half).float() / half)
        angle = positions.float()[:, None] * speed
        first, second = x[..., :half], x[..., half:]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)

    def _norm(self, x: Tensor, depth: int, name: str) -> Tensor:
        return self._rms(x, self.w[f"layers.{depth}.{name}.weight"])

    def _rms(self, x: Tensor, weight: Tensor) -> Tensor:
        size = x.float().pow(2).mean(-1, keepdim=True)
        return (x.float() / (size + self.eps).sqrt()).to(x.dtype) * weight

    def _mlp(self, x: Tensor, depth: int) -> Tensor:
        gate, up, down = (
            self.w[f"layers.{depth}.mlp.{name}_proj.weight"].T for name in ("gate", "up", "down")
        )
        return torch.matmul(torch.nn.functional.silu(x @ gate) * (x @ up), down)
