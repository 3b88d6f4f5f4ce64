"""Steps of an answer that stay on the device: ids, positions, mask and attention mass.

`Decoder.extend` makes a step of any size; between two of its steps the host reads an id and
sends it back. Here a step reads its id where the last one wrote it, and every tensor keeps its
address, so a device that can record a step repeats it as one launch. The host fetches one small
tensor a step, after the next one has been queued.

The answers are those of `extend`: the same products over a KV cache of the full length, whose
unused end is masked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from engine import device as devices
from engine.device import Download, Replay
from engine.models.layers.decoder import Decoder, KvBuffer, Layer, add_product
from engine.models.layers.picking import Picker
from engine.models.layers.rotary import RopeFactors, apply_rope_

MASS_ENTRIES: Final = 1 << 25
"""Attention weights computed at once when the mass is read; 200 MB at most in 16 bit."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token of an answer as the host sees it."""

    token_id: int
    mass: Float32[Tensor, " chunk"] | None


class DeviceSteps:
    """The steps behind one prefilled prompt.

    Args:
        decoder: In evaluation mode.
        buffer: Holds the prompt; grows once here, to the whole answer.
        picker: Draws ids; greedy or seeded.
        max_tokens: Steps there will be at most.
        chunks: Positions of each recalled chunk; `None` leaves the mass out.
    """

    def __init__(
        self,
        decoder: Decoder,
        buffer: KvBuffer,
        picker: Picker,
        *,
        max_tokens: int,
        chunks: Sequence[range] | None,
    ) -> None:
        self._decoder, self._buffer, self._picker = decoder, buffer, picker
        device, dtype = buffer.keys.device, buffer.keys.dtype
        buffer.reserve(max_tokens)
        start, config = buffer.n, decoder.config
        self._next_id = torch.zeros(1, dtype=torch.int64, device=device)
        # Where the next token goes in the cache, and which row of the table turns it.
        self._counters = devices.upload(torch.tensor([start, 0]), device)
        first = start + buffer.shift
        rope = decoder.rope(torch.arange(first, first + max_tokens, device=device))
        self._turns = torch.stack((rope.cos, rope.sin), 1)
        self._bias = torch.zeros(1, buffer.capacity, dtype=dtype, device=device)
        self._bias[:, start:] = float("-inf")
        self._edges = None if chunks is None else chunk_edges(chunks, device)
        n_chunks = 0 if chunks is None else len(chunks)
        self._result = torch.zeros(1 + n_chunks, dtype=torch.float32, device=device)
        self._running = torch.zeros(buffer.capacity + 1, dtype=torch.float32, device=device)
        self._scale = config.head_dim**-0.5
        # A router's choice is read by the host, and so no step of experts can be recorded.
        pays = max_tokens >= devices.LEAST_RECORDED_STEPS and not config.n_experts
        self._replay = Replay(self._step, devices.recorder(device) if pays else None)

    def first(
        self, logits: Float[Tensor, " vocab"], mass: Float32[Tensor, " chunk"] | None
    ) -> Download:
        """Take the first id from the prompt's own last row, whose mass is known."""
        self._picker.draw_noise()
        token_id = self._picker.pick(logits)[None]
        self._next_id.copy_(token_id)
        self._write(token_id, mass)
        return devices.download(self._result)

    def advance(self) -> Download:
        """Queue a step behind the last id, and the copy of what comes of it."""
        self._picker.draw_noise()
        self._replay()
        self._buffer.n += 1
        return devices.download(self._result)

    def read(self, download: Download) -> Step:
        """Wait for a step."""
        result = download.wait()
        return Step(int(result[0]), None if self._edges is None else result[1:])

    def _step(self) -> None:
        """Run one token through all layers; nothing here depends on a number of the host."""
        decoder, position = self._decoder, self._counters[:1]
        x = decoder.embed(self._next_id)
        turns = self._turns.index_select(0, self._counters[1:])
        turn = RopeFactors(turns[:, 0], turns[:, 1])
        self._bias.index_fill_(1, position, 0.0)
        queries = []
        for depth, layer in enumerate(decoder.stack()):
            x, q = self._layer(x, layer, depth, turn, position)
            queries.append(q)
        self._counters += 1
        logits = decoder.logits(decoder.norm(x)[0])
        token_id = self._picker.pick(logits)[None]
        self._next_id.copy_(token_id)
        self._write(token_id, None if self._edges is None else self._mass(queries))

    def _layer(
        self,
        x: Float[Tensor, "1 width"],
        layer: Layer,
        depth: int,
        turn: RopeFactors,
        position: Int64[Tensor, "1"],
    ) -> tuple[Float[Tensor, "1 width"], Float[Tensor, "kv_head group head_dim"]]:
        attention = layer.attention
        n_heads, n_kv_heads, head_dim = attention.shape
        heads = attention.qkv(layer.attention_norm(x)).view(-1, head_dim)
        if attention.query_norm is not None and attention.key_norm is not None:
            heads[:n_heads] = attention.query_norm(heads[:n_heads])
            turned = slice(n_heads, n_heads + n_kv_heads)
            heads[turned] = attention.key_norm(heads[turned])
        # Queries and keys turn together, in place and in float32, as `apply_rope` turns each.
        apply_rope_(heads[: n_heads + n_kv_heads], turn)
        fresh = heads[n_heads:].view(2, n_kv_heads, 1, head_dim)
        cached = self._buffer.pairs[:, depth, 0]
        cached.index_copy_(2, position, fresh)
        q = heads[:n_heads].view(n_kv_heads, -1, head_dim)
        mixed = F.scaled_dot_product_attention(
            q[None], cached[:1], cached[1:], attn_mask=self._bias
        )
        x = add_product(x, mixed.view(1, -1), attention.out)
        if layer.experts is not None:
            return x + layer.mlp(x), q
        return add_product(x, layer.gated(x), layer.down), q

    def _mass(self, queries: Sequence[Tensor]) -> Float32[Tensor, " chunk"]:
        """Sum the attention on each chunk, averaged over layers and heads."""
        assert self._edges is not None
        n_kv_heads, n_group, _head_dim = queries[0].shape
        capacity = self._buffer.capacity
        step = max(1, MASS_ENTRIES // (n_kv_heads * n_group * capacity))
        total: Tensor | None = None
        for start in range(0, len(queries), step):
            q = torch.stack(list(queries[start : start + step])).flatten(0, 1)
            keys = self._buffer.keys[start : start + step, 0].flatten(0, 1)
            scores = torch.baddbmm(self._bias, q, keys.transpose(1, 2), alpha=self._scale)
            part = scores.softmax(-1, dtype=torch.float32).sum((0, 1))
            total = part if total is None else total + part
        assert total is not None
        torch.cumsum(total, 0, out=self._running[1:])
        ends = self._running[self._edges]
        return (ends[1] - ends[0]).clamp_min_(0) / (len(queries) * n_kv_heads * n_group)

    def _write(self, token_id: Tensor, mass: Tensor | None) -> None:
        """Write what the host will fetch; ids stay exact in 24 bits."""
        self._result[:1] = token_id
        if mass is not None:
            self._result[1:] = mass


def chunk_edges(chunks: Sequence[range], device: torch.device) -> Tensor:
    """Positions at which chunks start and stop, as indices of a running sum that begins with 0."""
    ends = [[chunk.start for chunk in chunks], [chunk.stop for chunk in chunks]]
    return devices.upload(torch.tensor(ends, dtype=torch.int64).view(2, -1), device)
