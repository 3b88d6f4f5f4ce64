"""Many chunks and many questions in one differentiable pass, equal to streaming chunk by chunk.

Streaming compresses chunk after chunk, because each looks back on the VSTs of those before. Layer
by layer that order does not matter: the VST keys and values that chunk 7 needs at layer 3 come out
of layer 2 of every chunk at once. So all chunks of all videos run as one batch, over keys

    [ sink | VSTs of all chunks at their compact positions | the chunk's own rows ]

with a mask, and text runs afterwards over any choice of the compressed chunks. Rotary embedding is
relative: where a chunk looks back on a part of the past only, its sink moves up instead of every
VST moving down, so one rotation of the VSTs serves all chunks.

Source: arXiv:2409.14485 for the rules; the one-pass form is this project's, proven
against streaming (`models.video_xl.vst`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from engine.models.layers.decoder import Decoder, Layer
from engine.models.video_xl.vst import Interleave, interleave

LayerKv = list[tuple[Tensor, Tensor]]
"""Keys before rotary embedding and values, layer by layer."""


@dataclass(frozen=True, slots=True)
class CompressedVideos:
    """The keys and values that stay of a batch of videos."""

    kv: LayerKv
    """Each `video kv_head chunk*vst head_dim`; a chunk has as many slots as the fullest one."""
    n_vst: tuple[int, ...]
    """Summary tokens of each chunk; slots beyond are padding."""
    middle: Float[Tensor, "video chunk vst width"]
    """Rows of the VSTs at half depth, for supervision."""


@dataclass(frozen=True, slots=True)
class _BatchedRope:
    """Rotations of rows whose positions differ from batch to batch; axes in front broadcast."""

    cos: Tensor
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        swapped = torch.roll(x, x.shape[-1] // 2, -1)
        # In the products' own precision: a fifth of a training step on the CPU otherwise.
        return x * self.cos.to(x.dtype) + swapped * self.sin.to(x.dtype)

    def rows(self, chosen: slice) -> "_BatchedRope":
        return _BatchedRope(self.cos[..., chosen, :], self.sin[..., chosen, :])


@dataclass(frozen=True, slots=True)
class _BatchLayout:
    """Positions of rows and the attention mask, the same for all videos of a batch."""

    positions: Int64[Tensor, "chunk row"]
    """Absolute position of each row."""
    past_positions: Int64[Tensor, " past"]
    sink_positions: Int64[Tensor, "chunk sink"]
    mask: Float[Tensor, "chunk row key"]
    n_vst: tuple[int, ...]


def run_prefix(decoder: Decoder, prefix: Float[Tensor, "sink width"]) -> LayerKv:
    """Return keys and values of the prompt prefix, the sink of every chunk; batch of one."""
    n = prefix.shape[0]
    positions = torch.arange(n)
    mask = _additive(torch.ones(n, n, dtype=torch.bool).tril())
    x, kv = prefix[None], []
    rope = _batched_rope(decoder, positions)
    for layer in decoder.stack():
        attention = layer.attention
        q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
        kv.append((k, v))
        x = x + attention.merge(_attention(rope(q), rope(k), v, mask))
        x = x + layer.mlp(x)
    return kv


def compress_chunks(
    decoder: Decoder,
    tokens: Float[Tensor, "video chunk token width"],
    sink: LayerKv,
    ratios: Sequence[int],
    *,
    n_tokens: Sequence[int] | None = None,
    max_past_chunks: int | None = None,
) -> CompressedVideos:
    """Compress every chunk of every video into the keys and values of its VSTs.

    Args:
        decoder: With VST projections.
        tokens: Visual tokens after the projector; chunks in time order.
        sink: From `run_prefix`.
        ratios: Visual tokens per VST, one for each chunk.
        n_tokens: Visual tokens that each chunk really has; the rest is padding.
        max_past_chunks: How many chunks each may look back on; `None` is all.
    Cost: as the forward pass of one sequence of all rows, in which each row sees
        sink + VSTs + its own chunk only.
    """
    n_videos, n_chunks, n_raw = tokens.shape[:3]
    sizes = n_tokens or [n_raw] * n_chunks
    interleaves = [interleave(n, ratio) for n, ratio in zip(sizes, ratios, strict=True)]
    layout = _build_layout(interleaves, n_raw, sink[0][0].shape[2], max_past_chunks)
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    n_slots = layout.positions.shape[1] - n_raw
    vst = decoder.vst_embed.expand(n_videos * n_chunks, n_slots, -1)
    x = torch.cat((tokens.flatten(0, 1), vst.to(tokens.dtype)), 1)
    return _LayerRun(decoder, layout, n_videos, n_raw).all(x, sink)


def keep_whole_chunks(
    decoder: Decoder,
    rows: Float[Tensor, "video chunk row width"],
    sink: LayerKv,
    *,
    max_past_chunks: int | None = None,
) -> CompressedVideos:
    """Run every chunk plainly, without VSTs, and keep the keys and values of all its rows.

    What a decoder without compression leaves; `rows` may be visual tokens or what was made of
    them. The other arguments are those of `compress_chunks`, and so is the order of what is kept.
    """
    n_videos, n_chunks, n = rows.shape[:3]
    whole = Interleave(raw=torch.arange(0), vst=torch.arange(n), leftover=0)
    layout = _build_layout([whole] * n_chunks, 0, sink[0][0].shape[2], max_past_chunks)
    return _LayerRun(decoder, layout, n_videos, 0).all(rows.flatten(0, 1), sink)


def run_text(
    decoder: Decoder,
    sink: LayerKv,
    recalled: LayerKv,
    text: Int64[Tensor, "context token"],
    question: Int64[Tensor, "context token"],
    offset: Int64[Tensor, "context token"],
) -> Float[Tensor, "context token width"]:
    """Run the text behind what is recalled; several questions of one context do not see each other.

    Args:
        decoder: The one that compressed the chunks.
        sink: From `run_prefix`.
        recalled: VSTs, each `context kv_head latent head_dim`, in time order.
        text: Token ids; any id where padded.
        question: Which question a token belongs to, -1 for padding.
        offset: Position of a token in its question, from 0.
    Returns:
        Rows after the final norm.
    """
    n_sink, n_latents, n = sink[0][0].shape[2], recalled[0][0].shape[2], text.shape[1]
    start = n_sink + n_latents
    past = _batched_rope(decoder, torch.arange(start))
    current = _batched_rope(decoder, start + offset)
    same = question[:, :, None] == question[:, None, :]
    visible = same & torch.ones(n, n, dtype=torch.bool).tril()
    mask = _additive(F.pad(visible, (start, 0), value=True))[:, None, None]
    x = decoder.embed(text)
    for layer, (sink_k, sink_v), (past_k, past_v) in zip(
        decoder.stack(), sink, recalled, strict=True
    ):
        attention = layer.attention
        q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
        past_k = torch.cat((sink_k.expand(len(text), -1, -1, -1).to(past_k.dtype), past_k), 2)
        keys = torch.cat((past(past_k), current(k).to(past_k.dtype)), 2)
        values = torch.cat((sink_v.expand(len(text), -1, -1, -1).to(v.dtype), past_v, v), 2)
        x = x + attention.merge(_attention(current(q), keys, values, mask))
        x = x + layer.mlp(x)
    out: Tensor = decoder.norm(x)
    return out


def select_chunks(
    compressed: CompressedVideos,
    video: Int64[Tensor, "context chunk"],
    chunk: Int64[Tensor, "context chunk"],
) -> LayerKv:
    """Return the VSTs of chosen chunks, in the order given, for each context to recall.

    Every chunk must have the same number of VSTs; chunks may come from different videos.
    """
    if len(set(compressed.n_vst)) != 1:
        raise ValueError(f"chunks must have equally many VSTs, not {compressed.n_vst}")
    n_chunks, n_vst = len(compressed.n_vst), compressed.n_vst[0]
    in_video = (chunk[:, :, None] * n_vst + torch.arange(n_vst)).flatten(1)
    rows = video.repeat_interleave(n_vst, dim=1) * (n_chunks * n_vst) + in_video

    def pick(x: Tensor) -> Tensor:
        heads, head_dim = x.shape[1], x.shape[3]
        flat = x.transpose(1, 2).reshape(-1, heads * head_dim)
        chosen = flat.index_select(0, rows.flatten())
        return chosen.view(*rows.shape, heads, head_dim).transpose(1, 2)

    return [(pick(k), pick(v)) for k, v in compressed.kv]


class _LayerRun:
    """The rows of all chunks on their way through the layers.

    The rows behind the first `n_raw` are kept: VSTs, or, without visual tokens before them, rows
    like any other, which have no projections of their own.
    """

    def __init__(self, decoder: Decoder, layout: _BatchLayout, n_videos: int, n_raw: int) -> None:
        self._decoder, self._layout = decoder, layout
        self._n_videos, self._n_raw = n_videos, n_raw
        self._rows = _batched_rope(decoder, layout.positions)
        self._past = _batched_rope(decoder, layout.past_positions)
        self._sink = _batched_rope(decoder, layout.sink_positions)
        self._mask = layout.mask[:, None, None]

    def all(self, x: Float[Tensor, "chunk row width"], sink: LayerKv) -> CompressedVideos:
        """Run every layer, one after the other."""
        n_kept = self._layout.positions.shape[1] - self._n_raw
        kv, layers, middle = [], self._decoder.stack(), x[:, -n_kept:]
        for depth, layer in enumerate(layers):
            x, kept = self.step(x, layer, sink[depth], len(layers) - 1 - depth)
            kv.append(kept)
            if depth == (len(layers) - 1) // 2:
                middle = x[:, -n_kept:]
        return CompressedVideos(kv, self._layout.n_vst, _split(middle, self._n_videos))

    def step(
        self, x: Tensor, layer: Layer, sink: tuple[Tensor, Tensor], left: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run one layer; the last needs keys and values of VSTs alone, the one before VST rows."""
        n_raw, attention = self._n_raw, layer.attention
        kept_qkv = attention.vst_qkv if n_raw else attention.qkv
        assert kept_qkv is not None
        if left == 0:
            vst = x if x.shape[1] < self._layout.positions.shape[1] else x[:, n_raw:]
            k, v = attention.split_kv(kept_qkv.project_kv(layer.attention_norm(vst)))
            return x, (self._as_past(k), self._as_past(v))
        normed = layer.attention_norm(x)
        q_vst, k_vst, v_vst = attention.split(kept_qkv(normed[:, n_raw:]))
        if left == 1:
            k_raw, v_raw = attention.split_kv(attention.qkv.project_kv(normed[:, :n_raw]))
            q, rows = q_vst, slice(n_raw, None)
            x = x[:, n_raw:]
        else:
            q_raw, k_raw, v_raw = attention.split(attention.qkv(normed[:, :n_raw]))
            q, rows = torch.cat((q_raw, q_vst), 2), slice(0, None)
        k, v = torch.cat((k_raw, k_vst), 2), torch.cat((v_raw, v_vst), 2)
        kept = (self._as_past(k_vst), self._as_past(v_vst))
        out = self._chunk_attention(q, k, v, kept, sink, rows)
        x = x + attention.merge(out)
        return x + layer.mlp(x), kept

    def _chunk_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past: tuple[Tensor, Tensor],
        sink: tuple[Tensor, Tensor],
        rows: slice,
    ) -> Tensor:
        n_chunks = self._layout.positions.shape[0]

        def split(t: Tensor) -> Tensor:
            return _split(t, self._n_videos)

        def spread(t: Tensor) -> Tensor:
            return t.unsqueeze(1).expand(-1, n_chunks, -1, -1, -1)

        sink_keys = self._sink(sink[0].expand(n_chunks, -1, -1, -1)).to(k.dtype)
        sink_values = sink[1].expand(n_chunks, -1, -1, -1).to(v.dtype)
        keys = torch.cat(
            (
                sink_keys.expand(self._n_videos, -1, -1, -1, -1),
                spread(self._past(past[0])),
                self._rows(split(k)),
            ),
            3,
        )
        values = torch.cat(
            (sink_values.expand(self._n_videos, -1, -1, -1, -1), spread(past[1]), split(v)), 3
        )
        out = _attention(self._rows.rows(rows)(split(q)), keys, values, self._mask[:, :, :, rows])
        return out.flatten(0, 1)

    def _as_past(self, t: Tensor) -> Tensor:
        """Reshape `video*chunk kv_head vst head_dim` to `video kv_head chunk*vst head_dim`."""
        return _split(t, self._n_videos).transpose(1, 2).flatten(2, 3)


def _build_layout(
    interleaves: Sequence[Interleave], n_raw: int, n_sink: int, max_past: int | None
) -> _BatchLayout:
    n_chunks, n_vst = len(interleaves), [interleaved.n_vst for interleaved in interleaves]
    slots = max(n_vst)
    first = [sum(n_vst[:idx]) for idx in range(n_chunks + 1)]
    past = n_chunks if max_past is None else max_past
    rows = torch.full((n_chunks, n_raw + slots), -1)
    for idx, interleaved in enumerate(interleaves):
        rows[idx, : interleaved.n_raw] = interleaved.raw
        rows[idx, n_raw : n_raw + interleaved.n_vst] = interleaved.vst
    is_row = rows >= 0
    chunk_of = torch.arange(n_chunks).repeat_interleave(slots)
    slot = torch.arange(slots).repeat(n_chunks)
    is_filled = slot < torch.tensor(n_vst)[chunk_of]
    now = torch.arange(n_chunks)[:, None]
    sees_past = is_filled & (chunk_of < now) & (chunk_of >= now - past)
    own = (rows[:, :, None] >= rows[:, None, :]) & is_row[:, None, :]
    ahead = torch.cat((torch.ones(n_chunks, n_sink, dtype=torch.bool), sees_past), 1)
    visible = torch.cat((ahead[:, None].expand(-1, rows.shape[1], -1), own), 2)
    starts = torch.tensor([first[max(0, idx - past)] for idx in range(n_chunks)])
    return _BatchLayout(
        positions=n_sink + torch.tensor(first[:-1])[:, None] + rows.clamp(min=0),
        past_positions=n_sink + torch.tensor(first)[chunk_of] + slot,
        sink_positions=starts[:, None] + torch.arange(n_sink),
        mask=_additive(visible),
        n_vst=tuple(n_vst),
    )


def _batched_rope(decoder: Decoder, positions: Tensor) -> _BatchedRope:
    """Return rotations of `row` positions, or of `group row`, shaped for `group head row`."""
    flat = decoder.rope(positions.flatten())
    if positions.ndim == 1:
        return _BatchedRope(flat.cos, flat.sin)
    shape = (positions.shape[0], 1, positions.shape[1], -1)
    return _BatchedRope(flat.cos.view(shape), flat.sin.view(shape))


def _additive(visible: Bool[Tensor, "*batch row key"]) -> Float[Tensor, "*batch row key"]:
    return torch.zeros(visible.shape).masked_fill_(~visible, float("-inf"))


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Compute grouped attention, spelled out.

    Decision: not the fused kernel, because its backward pass took half of every step on the CPU
    (measured: 33 ms against 3 ms a layer at 280 x 17 rows, bfloat16).
    """
    n_kv, n_rows, head_dim = k.shape[-3], q.shape[-2], q.shape[-1]
    # Queries that share a head of keys stand below each other, so that keys are not repeated;
    # they are scaled, not the many more scores.
    stacked = (q * head_dim**-0.5).reshape(*q.shape[:-3], n_kv, -1, head_dim)
    scores = (stacked @ k.transpose(-1, -2)).unflatten(-2, (-1, n_rows))
    weights = (scores + mask.to(scores.dtype)).softmax(-1)
    out: Tensor = weights.to(v.dtype).flatten(-3, -2) @ v
    return out.reshape(q.shape)


def _split(t: Tensor, n_videos: int) -> Tensor:
    """Reshape `video*chunk ...` to `video chunk ...`."""
    return t.reshape(n_videos, -1, *t.shape[1:])
