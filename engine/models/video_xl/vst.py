"""Summary tokens (VST): where they are woven in, what they see, where recalled ones stand.

One VST follows every `compression_ratio` visual tokens of a chunk. It has its own q, k and v
projections, sees all that came before it, and its keys and values are all that stays of the
chunk. Keys are kept before rotary embedding; in memory they stand at compact positions:
sink, then every VST in order, then text.

Rows travel grouped, visual tokens first and VSTs behind them, so that each kind is projected in
one product; only queries, keys and values are laid out in woven order. Upstream's dead work is
left out: of the last layer only VST keys and values are computed, of the last but one nothing
but keys and values for visual rows.

Source: arXiv:2409.14485; upstream calls VSTs beacons and chunks windows.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from engine.models.layers.attention import attend, view
from engine.models.layers.decoder import Decoder, KvBuffer, Layer
from engine.models.layers.rotary import rotate
from engine.tensors import KvLatents


@dataclass(frozen=True, slots=True)
class Interleave:
    """Where the visual tokens and the VSTs of one chunk stand in their mixed sequence."""

    raw: Int64[Tensor, " token"]
    vst: Int64[Tensor, " vst"]
    carry: int
    """Visual tokens behind the last VST; the next chunk's first VST comes that much earlier."""

    @property
    def n_raw(self) -> int:
        """Visual tokens."""
        return self.raw.shape[0]

    @property
    def n_vst(self) -> int:
        """Summary tokens."""
        return self.vst.shape[0]

    @property
    def n(self) -> int:
        """Both kinds."""
        return self.n_raw + self.n_vst

    def is_vst(self) -> Bool[Tensor, " row"]:
        """Which rows of the mixed sequence are summary tokens."""
        kinds = torch.zeros(self.n, dtype=torch.bool)
        kinds[self.vst] = True
        return kinds


@lru_cache(maxsize=64)
def interleave(
    n_raw: int, compression_ratio: int, *, carry: int = 0, is_closed: bool = False
) -> Interleave:
    """Put a VST behind every `compression_ratio`-th visual token, counting from `carry`.

    Args:
        n_raw: Visual tokens of the chunk.
        compression_ratio: At least 1.
        carry: Visual tokens of the chunk before that no VST has summarised.
        is_closed: Add a last VST where the chunk ends in a remainder, so that nothing is lost.
    """
    if compression_ratio < 1:
        raise ValueError(f"compression_ratio must be at least 1, not {compression_ratio}")
    behind = list(range(compression_ratio - carry, n_raw + 1, compression_ratio))
    left = (n_raw + carry) % compression_ratio
    if is_closed and left:
        behind, left = [*behind, n_raw], 0
    # A VST behind the first `count` visual tokens has as many VSTs before it as its own index.
    places = [count + i for i, count in enumerate(behind)]
    # What is kept for later calls must be good for training too.
    with torch.inference_mode(False):
        vst = torch.tensor(places, dtype=torch.int64)
        is_raw = torch.ones(n_raw + len(behind), dtype=torch.bool)
        is_raw[vst] = False
        return Interleave(is_raw.nonzero()[:, 0], vst, left)


def step_random(ratios: Sequence[int], chunks: Sequence[int], *, seed: int) -> tuple[int, ...]:
    """One ratio for each chunk, drawn among those that divide it: upstream's training policy.

    Args:
        ratios: Allowed ones.
        chunks: Visual tokens of each chunk.
        seed: 42 and a fresh generator repeat upstream's stream.
    Raises:
        ValueError: None divides a chunk.
    """
    random, drawn = np.random.default_rng(seed), list[int]()
    for n in chunks:
        fitting = [ratio for ratio in ratios if 0 < ratio <= n and n % ratio == 0]
        if not fitting:
            raise ValueError(f"no ratio of {list(ratios)} divides a chunk of {n} tokens")
        drawn.append(fitting[int(random.integers(0, len(fitting)))])
    return tuple(drawn)


class VstCache:
    """What a running video has left behind: sink and VSTs, ready for attention.

    VST keys are turned once, when they enter; their compact position changes only when older
    chunks leave. Where a limit makes them leave, the unturned latents are kept beside.
    """

    def __init__(self, decoder: Decoder, *, capacity: int, max_latents: int | None = None) -> None:
        self.decoder = decoder
        self.buffer = decoder.buffer(capacity)
        self.n_sink = 0
        self.max_latents = max_latents
        self._held: deque[KvLatents] = deque()
        self._step: _Step | None = None

    @property
    def n_latents(self) -> int:
        """VSTs held."""
        return self.buffer.n - self.n_sink

    def step(self, plan: Interleave) -> "_Step":
        """How a chunk of this shape stands behind what is held now; room for it is made."""
        self.buffer.reserve(plan.n)
        held = self._step
        if held is None or held.plan is not plan or held.start != self.buffer.n:
            held = self._step = _Step(self.decoder, self.buffer.n, plan)
        return held

    def append(self, chunks: Sequence[KvLatents]) -> None:
        """Place chunks behind what is held; whole chunks leave at the limit, oldest first."""
        if self.max_latents is None:
            self._place(chunks)
            return
        self._held.extend(chunks)
        total = sum(chunk.n_latents for chunk in self._held)
        if total <= self.max_latents:
            self._place(chunks)
            return
        while total > self.max_latents:
            total -= self._held.popleft().n_latents
        # All positions move; turning the stored keys anew keeps a resumed stream byte for byte
        # equal to one that never stopped, which turning turned keys back would not.
        self.buffer.n = self.n_sink
        self._place(tuple(self._held))

    def fork(self, n_more: int) -> KvBuffer:
        """A copy with room for `n_more` tokens, to ask on while the original stays as it is."""
        source, end = self.buffer, self.buffer.n
        copy = self.decoder.buffer(end + n_more)
        copy.keys[:, :, :, :end] = source.keys[:, :, :, :end]
        copy.values[:, :, :, :end] = source.values[:, :, :, :end]
        copy.n = end
        return copy

    def _place(self, chunks: Sequence[KvLatents]) -> None:
        n = sum(chunk.n_latents for chunk in chunks)
        if not n:
            return
        buffer = self.buffer
        buffer.reserve(n)
        start, end = buffer.n, buffer.n + n
        device = buffer.keys.device
        rope = self.decoder.turn(torch.arange(start, end, device=device))
        keys = torch.cat([chunk.keys.to(device) for chunk in chunks], 2)
        buffer.keys[:, 0, :, start:end] = rotate(keys.to(buffer.keys.dtype), rope)
        values = torch.cat([chunk.values.to(device) for chunk in chunks], 2)
        buffer.values[:, 0, :, start:end] = values
        buffer.n = end


def open_memory(
    decoder: Decoder,
    sink: KvBuffer,
    chunks: Sequence[KvLatents] = (),
    *,
    n_more: int = 0,
    max_latents: int | None = None,
) -> VstCache:
    """A memory of the prompt prefix and of chunks, oldest first.

    Args:
        decoder: Whose sink and latents these are.
        sink: The prompt prefix, run once by `prefill_prefix`; copied.
        chunks: Placed as `VstCache.append` would place them one by one, byte for byte.
        n_more: Tokens to make room for beyond them.
        max_latents: Latents held at most; `None` for all.
    """
    held = sum(chunk.n_latents for chunk in chunks)
    if max_latents is not None:
        held = min(held, max_latents)
    memory = VstCache(decoder, capacity=sink.n + held + n_more, max_latents=max_latents)
    memory.buffer.keys[:, :, :, : sink.n] = sink.keys[:, :, :, : sink.n]
    memory.buffer.values[:, :, :, : sink.n] = sink.values[:, :, :, : sink.n]
    memory.buffer.n = memory.n_sink = sink.n
    memory.append(chunks)
    return memory


def prefill_prefix(decoder: Decoder, prefix: Float[Tensor, "token width"]) -> KvBuffer:
    """Keys and values of the prompt prefix, which every later step sees; may be empty."""
    sink = decoder.buffer(prefix.shape[0])
    if prefix.shape[0]:
        decoder.extend(prefix[None], sink)
    return sink


def fold(
    tokens: Float[Tensor, "token width"],
    memory: VstCache,
    plan: Interleave,
    *,
    trace: list[Tensor] | None = None,
) -> KvLatents:
    """Fold the visual tokens of one chunk into the keys and values of its VSTs.

    Args:
        tokens: Visual tokens after the projector.
        memory: Read; the room behind it serves as scratch, its contents do not change.
        plan: From `interleave`, for as many tokens.
        trace: Receives the rows in woven order: input, then behind every layer, the last one
            normed. Nothing is left out then.
    Returns:
        Keys before rotary embedding and values, in the decoder's dtype.
    """
    decoder = memory.decoder
    if not plan.n_vst and trace is None:
        return _nothing(decoder)
    step = memory.step(plan)
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    x = torch.cat((tokens, decoder.vst_embed.expand(plan.n_vst, -1)))[None]
    keys, values = [], []
    for depth, layer in enumerate(decoder.stack()):
        n_behind = len(decoder.layers) - 1 - depth
        if trace is not None:
            trace.append(step.interleaved(x[0]))
        x, k, v = _layer(x, depth, layer, memory.buffer, step, n_behind if trace is None else None)
        keys.append(k)
        values.append(v)
    if trace is not None:
        trace.append(step.interleaved(decoder.norm(x[0])))
    return KvLatents(keys=torch.cat(keys), values=torch.cat(values))


def _nothing(decoder: Decoder) -> KvLatents:
    """What a chunk without a VST leaves."""
    config = decoder.config
    empty = decoder.embed.weight.new_empty(config.n_layers, config.n_kv_heads, 0, config.head_dim)
    return KvLatents(keys=empty, values=empty)


def survey(
    decoder: Decoder,
    sink: KvBuffer,
    chunks: Sequence[KvLatents],
    question: Float[Tensor, "token width"],
) -> Float32[Tensor, " chunk"]:
    """Attention mass of a question on each of some chunks, every one alone behind the sink.

    Args:
        decoder: Whose sink and latents these are.
        sink: From `prefill_prefix`.
        chunks: All of one size.
        question: Embeddings; every row of it looks.
    Returns:
        The mean over layers, heads and rows of the weight that falls on the chunk.
    Cost: one prefill of chunk x question tokens, without the last layer's MLP.
    """
    n_sink, n, n_batch = sink.n, chunks[0].n_latents, len(chunks)
    held = n_sink + n
    buffer = decoder.buffer(held + question.shape[0], batch=n_batch)
    buffer.keys[:, :, :, :n_sink] = sink.keys[:, :, :, :n_sink]
    buffer.values[:, :, :, :n_sink] = sink.values[:, :, :, :n_sink]
    device = question.device
    rope = decoder.turn(torch.arange(n_sink, held, device=device))
    keys = torch.stack([chunk.keys for chunk in chunks], 1).to(device, question.dtype)
    buffer.keys[:, :, :, n_sink:held] = rotate(keys, rope)
    values = torch.stack([chunk.values for chunk in chunks], 1).to(device, question.dtype)
    buffer.values[:, :, :, n_sink:held] = values
    buffer.n = held
    looks: list[Tensor] = []
    rows = question[None].expand(n_batch, -1, -1)
    decoder.extend(
        rows, buffer, looks=looks, n_query_rows=question.shape[0], stop_after_weights=True
    )
    return torch.stack([look[:, :, n_sink:held].sum(-1).mean(-1) for look in looks]).mean(0)


class _Step:
    """Positions and sight of a chunk at one length of memory; serves any chunk of that shape."""

    def __init__(self, decoder: Decoder, n_past: int, plan: Interleave) -> None:
        like, groups = decoder.embed.weight, decoder.config.n_groups
        self.plan, self.start, self.end = plan, n_past, n_past + plan.n
        self.place = torch.cat((plan.raw, plan.vst)).to(like.device)
        self.rope = decoder.turn(self.start + self.place)
        # Rows lie grouped; a long step weaves its keys, so that the causal kernel can be used.
        interleaved = torch.arange(plan.n, device=like.device)
        self.sight = view(n_past, "causal", plan.n, groups, like=like)
        self.is_woven = self.sight.is_causal
        columns = interleaved if self.is_woven else self.place
        if not self.is_woven:
            visible = self.place[:, None] >= columns
            self.sight = view(n_past, visible, plan.n, groups, like=like)
        late = self.place[plan.n_raw :, None] >= columns
        self.vst_sight = view(n_past, late, plan.n, groups, like=like)
        self.order = self.place.argsort()

    def interleaved(self, rows: Tensor) -> Tensor:
        """Grouped rows in woven order."""
        return rows[self.order]

    def write(self, buffer: KvBuffer, depth: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Lay the chunk's keys and values behind the memory; both together come back."""
        keys, values = buffer.keys[depth], buffer.values[depth]
        k = rotate(k, self.rope)
        if self.is_woven:
            k, v = k[:, :, self.order], v[:, :, self.order]
        keys[:, :, self.start : self.end] = k
        values[:, :, self.start : self.end] = v
        return keys[:, :, : self.end], values[:, :, : self.end]

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """All rows of the chunk, grouped, over memory and chunk."""
        if not self.is_woven:
            return attend(q, keys, values, self.sight)
        return attend(q[:, :, self.order], keys, values, self.sight)[:, :, self.place]


def _layer(
    x: Tensor, depth: int, layer: Layer, buffer: KvBuffer, step: _Step, n_behind: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer; `n_behind` counts the layers after it, `None` computes every row."""
    plan, attention = step.plan, layer.attention
    assert attention.vst_qkv is not None
    if n_behind == 0:
        vst = layer.attention_norm(x[:, x.shape[1] - plan.n_vst :])
        k, v = attention.split_kv(attention.vst_qkv.project_kv(vst))
        return x, k, v
    normed = layer.attention_norm(x)
    q, k_vst, v_vst = attention.split(attention.vst_qkv(normed[:, plan.n_raw :]))
    if n_behind == 1:
        k, v = attention.split_kv(attention.qkv.project_kv(normed[:, : plan.n_raw]))
        both = torch.cat((k, k_vst), 2), torch.cat((v, v_vst), 2)
        keys, values = step.write(buffer, depth, *both)
        q = rotate(q, step.rope.slice(plan.n_raw, plan.n))
        seen, x = attend(q, keys, values, step.vst_sight), x[:, plan.n_raw :]
    else:
        q_raw, k, v = attention.split(attention.qkv(normed[:, : plan.n_raw]))
        both = torch.cat((k, k_vst), 2), torch.cat((v, v_vst), 2)
        keys, values = step.write(buffer, depth, *both)
        seen = step.attend(rotate(torch.cat((q_raw, q), 2), step.rope), keys, values)
    x = x + attention.merge(seen)
    return x + layer.mlp(x), k_vst, v_vst
