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

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from engine.nn.attention import attend, view
from engine.nn.decoder import Decoder, KvBuffer, Layer
from engine.nn.rotary import rotate
from engine.tensors import KvLatents


@dataclass(frozen=True, slots=True)
class Weave:
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


def weave(n_raw: int, compression_ratio: int, *, carry: int = 0, is_closed: bool = False) -> Weave:
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
    vst = torch.tensor([count + i for i, count in enumerate(behind)], dtype=torch.int64)
    is_raw = torch.ones(n_raw + len(behind), dtype=torch.bool)
    is_raw[vst] = False
    return Weave(is_raw.nonzero()[:, 0], vst, left)


class Memory:
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

    @property
    def n_latents(self) -> int:
        """VSTs held."""
        return self.buffer.n - self.n_sink

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
        turned = self.decoder.turn(torch.arange(start, end, device=device))
        keys = torch.cat([chunk.keys.to(device) for chunk in chunks], 2)
        buffer.keys[:, 0, :, start:end] = rotate(keys.to(buffer.keys.dtype), turned)
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
) -> Memory:
    """A memory of the prompt prefix and of chunks, oldest first.

    Args:
        decoder: Whose sink and latents these are.
        sink: The prompt prefix, run once by `run_sink`; copied.
        chunks: Placed as `Memory.append` would place them one by one, byte for byte.
        n_more: Tokens to make room for beyond them.
        max_latents: Latents held at most; `None` for all.
    """
    held = sum(chunk.n_latents for chunk in chunks)
    if max_latents is not None:
        held = min(held, max_latents)
    memory = Memory(decoder, capacity=sink.n + held + n_more, max_latents=max_latents)
    memory.buffer.keys[:, :, :, : sink.n] = sink.keys[:, :, :, : sink.n]
    memory.buffer.values[:, :, :, : sink.n] = sink.values[:, :, :, : sink.n]
    memory.buffer.n = memory.n_sink = sink.n
    memory.append(chunks)
    return memory


def run_sink(decoder: Decoder, prefix: Float[Tensor, "token width"]) -> KvBuffer:
    """Keys and values of the prompt prefix, which every later step sees; may be empty."""
    sink = decoder.buffer(prefix.shape[0])
    if prefix.shape[0]:
        decoder.extend(prefix[None], sink)
    return sink


def fold(
    tokens: Float[Tensor, "token width"],
    memory: Memory,
    plan: Weave,
    *,
    trace: list[Tensor] | None = None,
) -> KvLatents:
    """Fold the visual tokens of one chunk into the keys and values of its VSTs.

    Args:
        tokens: Visual tokens after the projector.
        memory: Read; the room behind it serves as scratch, its contents do not change.
        plan: From `weave`, for as many tokens.
        trace: Receives the rows in woven order: input, then behind every layer, the last one
            normed. Nothing is left out then.
    Returns:
        Keys before rotary embedding and values, in the decoder's dtype.
    """
    return _Fold(memory, plan).run(tokens, trace)


def survey(
    decoder: Decoder,
    sink: KvBuffer,
    chunks: Sequence[KvLatents],
    question: Float[Tensor, "token width"],
) -> Float32[Tensor, " chunk"]:
    """Attention mass of a question on each of some chunks, every one alone behind the sink.

    Args:
        decoder: Whose sink and latents these are.
        sink: From `run_sink`.
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
    turned = decoder.turn(torch.arange(n_sink, held, device=device))
    keys = torch.stack([chunk.keys for chunk in chunks], 1).to(device, question.dtype)
    buffer.keys[:, :, :, n_sink:held] = rotate(keys, turned)
    values = torch.stack([chunk.values for chunk in chunks], 1).to(device, question.dtype)
    buffer.values[:, :, :, n_sink:held] = values
    buffer.n = held
    looks: list[Tensor] = []
    rows = question[None].expand(n_batch, -1, -1)
    decoder.extend(rows, buffer, looks=looks, n_looking=question.shape[0], is_survey=True)
    return torch.stack([look[:, :, n_sink:held].sum(-1).mean(-1) for look in looks]).mean(0)


class _Fold:
    """One chunk on its way through the layers."""

    def __init__(self, memory: Memory, plan: Weave) -> None:
        self.decoder, self.buffer, self.plan = memory.decoder, memory.buffer, plan
        self.buffer.reserve(plan.n)
        self.start = self.buffer.n
        self.end = self.start + plan.n
        device = self.buffer.keys.device
        self.place = torch.cat((plan.raw, plan.vst)).to(device)
        self.turned = self.decoder.turn(self.start + self.place)
        visible = self.place[:, None] >= self.place[None, :]
        groups, dtype = self.decoder.config.n_groups, self.buffer.keys.dtype
        self.sight = view(self.start, visible, groups, dtype=dtype)
        self.vst_sight = view(self.start, visible[plan.n_raw :], groups, dtype=dtype)

    def run(self, tokens: Tensor, trace: list[Tensor] | None) -> KvLatents:
        embed = self.decoder.vst_embed
        assert embed is not None, "this decoder has no summary tokens"
        x = torch.cat((tokens, embed.expand(self.plan.n_vst, -1)))[None]
        keys, values = [], []
        layers = self.decoder.stack()
        for depth, layer in enumerate(layers):
            left = None if trace is not None else len(layers) - 1 - depth
            if trace is not None:
                trace.append(self._woven(x))
            x, k, v = self._layer(x, depth, layer, left)
            keys.append(k)
            values.append(v)
        if trace is not None:
            trace.append(self._woven(self.decoder.norm(x)))
        return KvLatents(keys=torch.cat(keys), values=torch.cat(values))

    def _layer(
        self, x: Tensor, depth: int, layer: Layer, left: int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer; `left` counts the layers behind it, `None` computes every row."""
        n_raw, attention = self.plan.n_raw, layer.attention
        assert attention.vst_qkv is not None
        if left == 0:
            vst = layer.attention_norm(x[:, -self.plan.n_vst :])
            k, v = attention.split_kv(attention.vst_qkv.without_first(vst))
            return x, k, v
        normed = layer.attention_norm(x)
        q, k_vst, v_vst = attention.split(attention.vst_qkv(normed[:, n_raw:]))
        turned, sight = self.turned, self.sight
        if left == 1:
            k, v = attention.split_kv(attention.qkv.without_first(normed[:, :n_raw]))
            x, sight = x[:, n_raw:], self.vst_sight
            q = rotate(q, turned.slice(n_raw, self.plan.n))
        else:
            q_raw, k, v = attention.split(attention.qkv(normed[:, :n_raw]))
            q = rotate(torch.cat((q_raw, q), 2), turned)
        keys, values = self._write(depth, torch.cat((k, k_vst), 2), torch.cat((v, v_vst), 2))
        x = x + attention.merge(attend(q, keys, values, sight))
        return x + layer.mlp(x), k_vst, v_vst

    def _write(self, depth: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Lay the chunk's keys and values behind the memory; both together come back."""
        keys, values = self.buffer.keys[depth], self.buffer.values[depth]
        keys[:, :, self.start : self.end] = rotate(k, self.turned)
        values[:, :, self.start : self.end] = v
        return keys[:, :, : self.end], values[:, :, : self.end]

    def _woven(self, x: Tensor) -> Tensor:
        out = torch.empty_like(x[0])
        out[self.place] = x[0]
        return out
