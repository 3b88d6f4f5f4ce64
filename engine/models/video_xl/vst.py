"""Visual summarization tokens (VST): chunks of video compressed to keys and values.

One VST follows every `compression_ratio` visual tokens of a chunk. It has its own q, k and v
projections, sees all that came before it, and its keys and values are all that stays of the
chunk. Keys are kept before rotary embedding; in the cache they take compact positions: sink, then
every VST in order, then text.

Rows travel grouped, visual tokens first and VSTs behind them, so that each kind is projected in
one product; only queries, keys and values are interleaved. Work whose result nobody reads is left
out: of the last layer only VST keys and values are computed, of the last but one nothing but keys
and values for visual rows.

Source: arXiv:2409.14485; upstream calls VSTs beacons and chunks windows.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from engine import device as devices
from engine.models.layers import chunk_attention
from engine.models.layers.attention import attend, build_mask
from engine.models.layers.chunk_attention import question_mass
from engine.models.layers.decoder import Decoder, KvBuffer, Layer, add_mlp, add_product
from engine.models.layers.recall import write_latents
from engine.models.layers.rotary import apply_rope, apply_rope_
from engine.tensors import KvLatents


@dataclass(frozen=True, slots=True)
class Interleave:
    """Positions of the visual tokens and of the VSTs of one chunk in their mixed sequence."""

    raw: Int64[Tensor, " token"]
    vst: Int64[Tensor, " vst"]
    leftover: int
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
        """Both kinds together."""
        return self.n_raw + self.n_vst


@lru_cache(maxsize=64)
def interleave(
    n_raw: int, compression_ratio: int, *, leftover: int = 0, is_closed: bool = False
) -> Interleave:
    """Put a VST behind every `compression_ratio`-th visual token, counting on from `leftover`.

    Args:
        n_raw: Visual tokens of the chunk.
        compression_ratio: At least 1.
        leftover: Visual tokens of the chunk before that no VST has summarised.
        is_closed: Add a last VST where the chunk ends in a remainder, so that nothing is lost.
    """
    if compression_ratio < 1:
        raise ValueError(f"compression_ratio must be at least 1, not {compression_ratio}")
    behind = list(range(compression_ratio - leftover, n_raw + 1, compression_ratio))
    remainder = (n_raw + leftover) % compression_ratio
    if is_closed and remainder:
        behind, remainder = [*behind, n_raw], 0
    # A VST behind the first `count` visual tokens has as many VSTs before it as its own index.
    positions = [count + idx for idx, count in enumerate(behind)]
    # The cache outlives inference mode, whose tensors training could not use.
    with torch.inference_mode(False):
        vst = torch.tensor(positions, dtype=torch.int64)
        is_raw = torch.ones(n_raw + len(behind), dtype=torch.bool)
        is_raw[vst] = False
        return Interleave(is_raw.nonzero()[:, 0], vst, remainder)


class VstCache:
    """KV cache of a running video: sink and VSTs, ready for attention.

    VST keys are rotated once, when they enter; their compact position changes only when older
    chunks leave. Where a limit makes them leave, the unrotated latents are kept beside.
    """

    def __init__(self, decoder: Decoder, *, capacity: int, max_latents: int | None = None) -> None:
        self.decoder = decoder
        self.buffer = decoder.buffer(capacity)
        self.n_sink = 0
        self.max_latents = max_latents
        self._unrotated: deque[KvLatents] = deque()
        self._layout: _ChunkLayout | None = None

    @property
    def n_latents(self) -> int:
        """VSTs held."""
        return self.buffer.n - self.n_sink

    def layout(self, plan: Interleave) -> "_ChunkLayout":
        """Lay a chunk of this shape behind the tokens held now, and make room for it."""
        self.buffer.reserve(plan.n)
        layout = self._layout
        if layout is None or layout.plan is not plan or layout.start != self.buffer.n:
            layout = self._layout = _ChunkLayout(self.decoder, self.buffer.n, plan)
        return layout

    def append(self, chunks: Sequence[KvLatents]) -> None:
        """Place chunks behind those held; whole chunks leave at the limit, oldest first."""
        if self.max_latents is None:
            self._place(chunks)
            return
        self._unrotated.extend(chunks)
        total = sum(chunk.n_latents for chunk in self._unrotated)
        if total <= self.max_latents:
            self._place(chunks)
            return
        while total > self.max_latents:
            total -= self._unrotated.popleft().n_latents
        # All positions move; rotating the stored keys anew keeps a resumed stream byte for byte
        # equal to one that never stopped, which rotating rotated keys back would not.
        self.buffer.n = self.n_sink
        self._place(tuple(self._unrotated))

    def _place(self, chunks: Sequence[KvLatents]) -> None:
        n = sum(chunk.n_latents for chunk in chunks)
        if not n:
            return
        self.buffer.reserve(n)
        write_latents(self.decoder, self.buffer, [chunks])


def open_cache(
    decoder: Decoder,
    sink: KvBuffer,
    chunks: Sequence[KvLatents] = (),
    *,
    n_more: int = 0,
    max_latents: int | None = None,
) -> VstCache:
    """Open a cache that holds the prompt prefix and chunks, oldest first.

    Args:
        decoder: Whose sink and latents these are.
        sink: The prompt prefix, run once by `prefill_prefix`; copied.
        chunks: Placed as `VstCache.append` would place them one by one, byte for byte.
        n_more: Tokens to make room for beyond them.
        max_latents: Latents held at most; `None` for all.
    """
    n_latents = sum(chunk.n_latents for chunk in chunks)
    if max_latents is not None:
        n_latents = min(n_latents, max_latents)
    cache = VstCache(decoder, capacity=sink.n + n_latents + n_more, max_latents=max_latents)
    cache.buffer.copy_from(sink)
    cache.n_sink = sink.n
    cache.append(chunks)
    return cache


def prefill_prefix(decoder: Decoder, prefix: Float[Tensor, "token width"]) -> KvBuffer:
    """Compute the sink: keys and values of the prompt prefix, which every later step sees.

    Args:
        decoder: In evaluation mode.
        prefix: Embeddings; may be empty.
    """
    sink = decoder.buffer(prefix.shape[0])
    if prefix.shape[0]:
        decoder.extend(prefix[None], sink)
    return sink


def compress_chunk(
    tokens: Float[Tensor, "token width"],
    cache: VstCache,
    plan: Interleave,
    *,
    trace: list[Tensor] | None = None,
) -> KvLatents:
    """Compress the visual tokens of one chunk to the keys and values of its VSTs.

    Args:
        tokens: Visual tokens after the projector.
        cache: Read; the room behind its tokens serves as scratch, they themselves do not change.
        plan: From `interleave`, for as many tokens.
        trace: Receives the rows in mixed order: input, then behind every layer, the last one
            normed. Nothing is left out then.
    Returns:
        Keys before rotary embedding and values, in the decoder's dtype.
    """
    decoder = cache.decoder
    # A chunk shorter than its ratio leaves nothing, and nothing reads its rows.
    if not plan.n_vst and trace is None:
        return _no_latents(decoder)
    layout = cache.layout(plan)
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    x = torch.cat((tokens, decoder.vst_embed.expand(plan.n_vst, -1)))
    keys, values = [], []
    for depth, layer in enumerate(decoder.stack()):
        n_behind = len(decoder.layers) - 1 - depth
        if trace is not None:
            trace.append(layout.interleaved(x))
        x, k, v = _layer(x, depth, layer, cache.buffer, layout, n_behind if trace is None else None)
        keys.append(k)
        values.append(v)
    if trace is not None:
        trace.append(layout.interleaved(decoder.norm(x)))
    return KvLatents(keys=torch.cat(keys), values=torch.cat(values))


def _no_latents(decoder: Decoder) -> KvLatents:
    """Return what a chunk without a VST leaves: latents of length 0."""
    config = decoder.config
    empty = decoder.embed.weight.new_empty(config.n_layers, config.n_kv_heads, 0, config.head_dim)
    return KvLatents(keys=empty, values=empty)


def score_chunks(
    decoder: Decoder,
    sink: KvBuffer,
    chunks: Sequence[KvLatents],
    question: Float[Tensor, "token width"],
    *,
    full_latents: int,
) -> Float32[Tensor, " chunk"]:
    """Score chunks by the attention of a question on each, alone behind the sink.

    Args:
        decoder: Whose sink and latents these are.
        sink: From `prefill_prefix`.
        chunks: In any order, of any sizes.
        question: Embeddings; every row of it counts.
        full_latents: Latents of a full chunk, to whose odds others are brought.
    Cost: a prefill of the question for each chunk; the chunks themselves are not run again.
    """

    def attention_mass(indices: list[int]) -> Tensor:
        batch = [chunks[idx] for idx in indices]
        n_sink, n_latents = sink.n, batch[0].n_latents
        buffer = decoder.buffer(n_sink + n_latents + question.shape[0], batch=len(batch))
        buffer.copy_from(sink)
        write_latents(decoder, buffer, [[chunk] for chunk in batch])
        return question_mass(decoder, buffer, range(n_sink, n_sink + n_latents), question)

    return chunk_attention.score_chunks(
        [chunk.n_latents for chunk in chunks],
        attention_mass,
        rows_per_chunk=lambda _: question.shape[0],
        full_latents=full_latents,
    )


class _ChunkLayout:
    """Positions and mask of a chunk behind a cache of one length; serves any chunk of its shape."""

    def __init__(self, decoder: Decoder, n_past: int, plan: Interleave) -> None:
        like, groups = decoder.embed.weight, decoder.config.n_groups
        self.plan, self.start, self.end = plan, n_past, n_past + plan.n
        self.position = devices.upload(torch.cat((plan.raw, plan.vst)), like.device)
        """In the mixed sequence, of each grouped row."""
        self.order = self.position.argsort()
        self.mask = build_mask(n_past, "causal", plan.n, groups, like=like)
        self.is_interleaved = self.mask.is_causal
        """Whether rows attend in mixed order: those of a long step do, for the causal kernel."""
        columns = self.position
        if self.is_interleaved:
            columns = torch.arange(plan.n, device=like.device)
        else:
            visible = self.position[:, None] >= columns
            self.mask = build_mask(n_past, visible, plan.n, groups, like=like)
        self.rope = decoder.rope(self.start + columns)
        """Of each row, in the order in which rows attend."""
        self.vst_rope = decoder.rope(self.start + self.position[plan.n_raw :])
        # The last layer but one runs the queries of VST rows alone.
        vst_visible = self.position[plan.n_raw :, None] >= columns
        self.vst_mask = build_mask(n_past, vst_visible, plan.n, groups, like=like)

    def interleaved(self, rows: Tensor) -> Tensor:
        """Return grouped rows in mixed order."""
        return rows[self.order]

    def write(
        self, buffer: KvBuffer, depth: int, rows: Tensor, n_heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Write a layer's keys and values of the chunk behind the cache.

        Args:
            buffer: Has room for them.
            depth: Of the layer.
            rows: Projections of grouped rows, `token inner`: queries first, if any, then keys and
                values. Queries and keys are rotated where they lie.
            n_heads: Query heads; 0 where there are none.
        Returns:
            Queries in the order in which rows attend, and all keys and values up to there.
        """
        if self.is_interleaved:
            rows = rows[self.order]
        pairs = buffer.pairs[:, depth]
        n_kv_heads, head_dim = pairs.shape[2], pairs.shape[4]
        heads = rows.view(rows.shape[0], -1, head_dim)
        apply_rope_(heads[:, : n_heads + n_kv_heads].transpose(0, 1), self.rope)
        # token (pair kv_head) head_dim -> pair kv_head token head_dim
        fresh = heads[:, n_heads:].view(-1, 2, n_kv_heads, head_dim).permute(1, 2, 0, 3)
        pairs[:, 0, :, self.start : self.end] = fresh
        keys, values = pairs[0, :, :, : self.end], pairs[1, :, :, : self.end]
        return heads[:, :n_heads].transpose(0, 1)[None], keys, values

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend with all rows of the chunk over cache and chunk; rows come back grouped."""
        rows = attend(q, keys, values, self.mask).transpose(1, 2).flatten(2)[0]
        return rows[self.position] if self.is_interleaved else rows


def _layer(
    x: Tensor,
    depth: int,
    layer: Layer,
    buffer: KvBuffer,
    layout: _ChunkLayout,
    n_behind: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one layer over grouped rows; return them with the VSTs' keys and values.

    Args:
        n_behind: Layers after this one; `None` computes every row.
    """
    plan, attention = layout.plan, layer.attention
    assert attention.vst_qkv is not None
    if n_behind == 0:
        # Nothing reads the last layer's rows: only its VST keys and values are latents.
        vst = layer.attention_norm(x[x.shape[0] - plan.n_vst :])
        k, v = attention.split_kv(attention.vst_qkv.project_kv(vst)[None])
        return x, k, v
    rows, k_vst, v_vst = _attended(x, depth, layer, buffer, layout, n_behind)
    x = add_product(x if n_behind != 1 else x[plan.n_raw :], rows, attention.out)
    # The MLP is where most is held: nothing of the attention is by then.
    del rows
    return add_mlp(x, layer), k_vst, v_vst


def _attended(
    x: Tensor,
    depth: int,
    layer: Layer,
    buffer: KvBuffer,
    layout: _ChunkLayout,
    n_behind: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the rows of a layer attend to, and the VSTs' keys and values."""
    plan, attention = layout.plan, layer.attention
    assert attention.vst_qkv is not None
    normed = layer.attention_norm(x)
    vst_rows = attention.vst_qkv(normed[plan.n_raw :])
    q, k_vst, v_vst = attention.split(vst_rows[None])
    if n_behind == 1:
        # The last layer reads VST rows alone, so visual rows only serve as keys and values here.
        raw_rows = attention.qkv.project_kv(normed[: plan.n_raw])
        pairs = torch.cat((raw_rows, vst_rows[:, vst_rows.shape[1] - raw_rows.shape[1] :]))
        _, keys, values = layout.write(buffer, depth, pairs, 0)
        mixed = attend(apply_rope(q, layout.vst_rope), keys, values, layout.vst_mask)
        return mixed.transpose(1, 2).flatten(2)[0], k_vst, v_vst
    q, keys, values = layout.write(
        buffer,
        depth,
        torch.cat((attention.qkv(normed[: plan.n_raw]), vst_rows)),
        attention.shape[0],
    )
    del normed
    return layout.attend(q, keys, values), k_vst, v_vst
