"""Many chunks and many questions in one differentiable pass, equal to streaming chunk by chunk.

Streaming folds chunk after chunk, because each looks back on the VSTs of those before. Layer by
layer that order does not matter: the VST keys and values that chunk 7 needs at layer 3 come out
of layer 2 of every chunk at once. So all chunks of all videos run as one batch, over keys

    [ sink | VSTs of all chunks at their compact positions | the chunk's own rows ]

with a mask, and text runs afterwards over any choice of the folded chunks. Rotary embedding is
relative: where a chunk looks back on a part of the past only, its sink moves up instead of every
VST moving down, so one rotation of the VSTs serves all chunks.

Source: arXiv:2409.14485 for the rules; the one-pass form is ours, proven against `nn.vst.fold`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from engine.models.layers.decoder import Decoder, Layer
from engine.models.video_xl.vst import Interleave, interleave

Layers = list[tuple[Tensor, Tensor]]
"""Keys before rotary embedding and values, layer by layer."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch of videos leaves behind."""

    kv: Layers
    """Each `video kv_head chunk*vst head_dim`; a chunk has as many places as the fullest one."""
    n_vst: tuple[int, ...]
    """Summary tokens of each chunk; places beyond are padding."""
    middle: Float[Tensor, "video chunk vst width"]
    """Rows of the VSTs at half depth, for supervision."""


@dataclass(frozen=True, slots=True)
class _Spin:
    """Rotations of rows whose positions differ from batch to batch; axes in front broadcast."""

    cos: Tensor
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        swapped = torch.roll(x, x.shape[-1] // 2, -1)
        # In the products' own precision: a fifth of a training step on the CPU otherwise.
        return x * self.cos.to(x.dtype) + swapped * self.sin.to(x.dtype)

    def rows(self, chosen: slice) -> "_Spin":
        return _Spin(self.cos[..., chosen, :], self.sin[..., chosen, :])


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where rows stand and what they see; one for all videos of a batch."""

    place: Int64[Tensor, "chunk row"]
    """Absolute position of each row."""
    memory_place: Int64[Tensor, " memory"]
    sink_place: Int64[Tensor, "chunk sink"]
    mask: Float[Tensor, "chunk row key"]
    n_vst: tuple[int, ...]


def run_prefix(decoder: Decoder, prefix: Float[Tensor, "sink width"]) -> Layers:
    """Keys and values of the prompt prefix, the sink of every chunk; batch of one."""
    n = prefix.shape[0]
    positions = torch.arange(n)
    mask = _additive(torch.ones(n, n, dtype=torch.bool).tril())
    x, kv = prefix[None], []
    rope = _spin(decoder, positions)
    for layer in decoder.stack():
        attention = layer.attention
        q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
        kv.append((k, v))
        x = x + attention.merge(_attend(rope(q), rope(k), v, mask))
        x = x + layer.mlp(x)
    return kv


def fold_chunks(
    decoder: Decoder,
    tokens: Float[Tensor, "video chunk token width"],
    sink: Layers,
    ratios: Sequence[int],
    *,
    n_tokens: Sequence[int] | None = None,
    max_past_chunks: int | None = None,
) -> Folded:
    """Fold every chunk of every video into the keys and values of its VSTs.

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
    weaves = [interleave(n, ratio) for n, ratio in zip(sizes, ratios, strict=True)]
    plan = _plan(weaves, n_raw, sink[0][0].shape[2], max_past_chunks)
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    n_slots = plan.place.shape[1] - n_raw
    vst = decoder.vst_embed.expand(n_videos * n_chunks, n_slots, -1)
    x = torch.cat((tokens.flatten(0, 1), vst.to(tokens.dtype)), 1)
    return _FoldRun(decoder, plan, n_videos, n_raw).all(x, sink)


def keep_chunks(
    decoder: Decoder,
    rows: Float[Tensor, "video chunk row width"],
    sink: Layers,
    *,
    max_past_chunks: int | None = None,
) -> Folded:
    """Run every chunk plainly, without VSTs, and keep the keys and values of all its rows.

    What a decoder without compression leaves; `rows` may be visual tokens or what was made of
    them. The other arguments are those of `fold_chunks`, and so is the order of what is kept.
    """
    n_videos, n_chunks, n = rows.shape[:3]
    whole = Interleave(raw=torch.arange(0), vst=torch.arange(n), leftover=0)
    plan = _plan([whole] * n_chunks, 0, sink[0][0].shape[2], max_past_chunks)
    return _FoldRun(decoder, plan, n_videos, 0).all(rows.flatten(0, 1), sink)


def read_text(
    decoder: Decoder,
    sink: Layers,
    memory: Layers,
    text: Int64[Tensor, "reader token"],
    question: Int64[Tensor, "reader token"],
    offset: Int64[Tensor, "reader token"],
) -> Float[Tensor, "reader token width"]:
    """Run the text behind the memory; several questions of one reader do not see each other.

    Args:
        decoder: The same as folded the memory.
        sink: From `run_prefix`.
        memory: Recalled VSTs, each `reader kv_head latent head_dim`, in time order.
        text: Token ids; any id where padded.
        question: Which question a token belongs to, -1 for padding.
        offset: Place of a token in its question, from 0.
    Returns:
        Rows after the final norm.
    """
    n_sink, n_latents, n = sink[0][0].shape[2], memory[0][0].shape[2], text.shape[1]
    start = n_sink + n_latents
    past = _spin(decoder, torch.arange(start))
    current = _spin(decoder, start + offset)
    same = question[:, :, None] == question[:, None, :]
    visible = same & torch.ones(n, n, dtype=torch.bool).tril()
    mask = _additive(F.pad(visible, (start, 0), value=True))[:, None, None]
    x = decoder.embed(text)
    for layer, (sink_k, sink_v), (k_past, v_past) in zip(
        decoder.stack(), sink, memory, strict=True
    ):
        attention = layer.attention
        q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
        k_past = torch.cat((sink_k.expand(len(text), -1, -1, -1).to(k_past.dtype), k_past), 2)
        keys = torch.cat((past(k_past), current(k).to(k_past.dtype)), 2)
        values = torch.cat((sink_v.expand(len(text), -1, -1, -1).to(v.dtype), v_past, v), 2)
        x = x + attention.merge(_attend(current(q), keys, values, mask))
        x = x + layer.mlp(x)
    out: Tensor = decoder.norm(x)
    return out


def choose(
    folded: Folded, video: Int64[Tensor, "reader chunk"], chunk: Int64[Tensor, "reader chunk"]
) -> Layers:
    """The VSTs of chosen chunks, in the order given, as memory for each reader.

    Every chunk must have the same number of VSTs; chunks may come from different videos.
    """
    if len(set(folded.n_vst)) != 1:
        raise ValueError(f"chunks must have equally many VSTs, not {folded.n_vst}")
    n_chunks, n_vst = len(folded.n_vst), folded.n_vst[0]
    at = (chunk[:, :, None] * n_vst + torch.arange(n_vst)).flatten(1)
    rows = video.repeat_interleave(n_vst, dim=1) * (n_chunks * n_vst) + at

    def pick(x: Tensor) -> Tensor:
        heads, head_dim = x.shape[1], x.shape[3]
        flat = x.transpose(1, 2).reshape(-1, heads * head_dim)
        chosen = flat.index_select(0, rows.flatten())
        return chosen.view(*rows.shape, heads, head_dim).transpose(1, 2)

    return [(pick(k), pick(v)) for k, v in folded.kv]


class _FoldRun:
    """The rows of all chunks on their way through the layers.

    The rows behind the first `n_raw` are kept: VSTs, or, without visual tokens before them, rows
    like any other, which have no projections of their own.
    """

    def __init__(self, decoder: Decoder, plan: _Plan, n_videos: int, n_raw: int) -> None:
        self._decoder, self._plan = decoder, plan
        self._n_videos, self._n_raw = n_videos, n_raw
        self._rows = _spin(decoder, plan.place)
        self._memory = _spin(decoder, plan.memory_place)
        self._sink = _spin(decoder, plan.sink_place)
        self._mask = plan.mask[:, None, None]

    def all(self, x: Float[Tensor, "chunk row width"], sink: Layers) -> Folded:
        """Every layer, one after the other."""
        n_kept = self._plan.place.shape[1] - self._n_raw
        kv, layers, middle = [], self._decoder.stack(), x[:, -n_kept:]
        for depth, layer in enumerate(layers):
            x, kept = self.step(x, layer, sink[depth], len(layers) - 1 - depth)
            kv.append(kept)
            if depth == (len(layers) - 1) // 2:
                middle = x[:, -n_kept:]
        return Folded(kv, self._plan.n_vst, _split(middle, self._n_videos))

    def step(
        self, x: Tensor, layer: Layer, sink: tuple[Tensor, Tensor], left: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer; of the last only VST keys and values are needed, before it only VST rows."""
        n_raw, attention = self._n_raw, layer.attention
        kept_qkv = attention.vst_qkv if n_raw else attention.qkv
        assert kept_qkv is not None
        if left == 0:
            vst = x if x.shape[1] < self._plan.place.shape[1] else x[:, n_raw:]
            k, v = attention.split_kv(kept_qkv.project_kv(layer.attention_norm(vst)))
            return x, (self._as_memory(k), self._as_memory(v))
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
        kept = (self._as_memory(k_vst), self._as_memory(v_vst))
        out = self._attend(q, k, v, kept, sink, rows)
        x = x + attention.merge(out)
        return x + layer.mlp(x), kept

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        memory: tuple[Tensor, Tensor],
        sink: tuple[Tensor, Tensor],
        rows: slice,
    ) -> Tensor:
        n_chunks = self._plan.place.shape[0]

        def split(t: Tensor) -> Tensor:
            return _split(t, self._n_videos)

        def spread(t: Tensor) -> Tensor:
            return t.unsqueeze(1).expand(-1, n_chunks, -1, -1, -1)

        sunk = self._sink(sink[0].expand(n_chunks, -1, -1, -1)).to(k.dtype)
        sunk_v = sink[1].expand(n_chunks, -1, -1, -1).to(v.dtype)
        keys = torch.cat(
            (
                sunk.expand(self._n_videos, -1, -1, -1, -1),
                spread(self._memory(memory[0])),
                self._rows(split(k)),
            ),
            3,
        )
        values = torch.cat(
            (sunk_v.expand(self._n_videos, -1, -1, -1, -1), spread(memory[1]), split(v)), 3
        )
        out = _attend(self._rows.rows(rows)(split(q)), keys, values, self._mask[:, :, :, rows])
        return out.flatten(0, 1)

    def _as_memory(self, t: Tensor) -> Tensor:
        """From `video*chunk kv_head vst head_dim` to `video kv_head chunk*vst head_dim`."""
        return _split(t, self._n_videos).transpose(1, 2).flatten(2, 3)


def _plan(weaves: Sequence[Interleave], n_raw: int, n_sink: int, max_past: int | None) -> _Plan:
    n_chunks, n_vst = len(weaves), [w.n_vst for w in weaves]
    slots = max(n_vst)
    first = [sum(n_vst[:idx]) for idx in range(n_chunks + 1)]
    past = n_chunks if max_past is None else max_past
    rows = torch.full((n_chunks, n_raw + slots), -1)
    for idx, interleaved in enumerate(weaves):
        rows[idx, : interleaved.n_raw] = interleaved.raw
        rows[idx, n_raw : n_raw + interleaved.n_vst] = interleaved.vst
    is_row = rows >= 0
    memory_of = torch.arange(n_chunks).repeat_interleave(slots)
    slot = torch.arange(slots).repeat(n_chunks)
    is_memory = slot < torch.tensor(n_vst)[memory_of]
    now = torch.arange(n_chunks)[:, None]
    looks_back = is_memory & (memory_of < now) & (memory_of >= now - past)
    own = (rows[:, :, None] >= rows[:, None, :]) & is_row[:, None, :]
    ahead = torch.cat((torch.ones(n_chunks, n_sink, dtype=torch.bool), looks_back), 1)
    visible = torch.cat((ahead[:, None].expand(-1, rows.shape[1], -1), own), 2)
    starts = torch.tensor([first[max(0, idx - past)] for idx in range(n_chunks)])
    return _Plan(
        place=n_sink + torch.tensor(first[:-1])[:, None] + rows.clamp(min=0),
        memory_place=n_sink + torch.tensor(first)[memory_of] + slot,
        sink_place=starts[:, None] + torch.arange(n_sink),
        mask=_additive(visible),
        n_vst=tuple(n_vst),
    )


def _spin(decoder: Decoder, places: Tensor) -> _Spin:
    """Rotations of `row` or `group row` positions, the latter shaped for `group head row`."""
    flat = decoder.rope(places.flatten())
    if places.ndim == 1:
        return _Spin(flat.cos, flat.sin)
    shape = (places.shape[0], 1, places.shape[1], -1)
    return _Spin(flat.cos.view(shape), flat.sin.view(shape))


def _additive(visible: Bool[Tensor, "*batch row key"]) -> Float[Tensor, "*batch row key"]:
    return torch.zeros(visible.shape).masked_fill_(~visible, float("-inf"))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Grouped attention spelled out: the fused CPU kernel is several times slower to train."""
    n_kv, n_rows, head_dim = k.shape[-3], q.shape[-2], q.shape[-1]
    # Queries that share a head of keys stand below each other, so that keys are not repeated;
    # they are scaled, not the many more scores.
    stacked = (q * head_dim**-0.5).reshape(*q.shape[:-3], n_kv, -1, head_dim)
    scores = (stacked @ k.transpose(-1, -2)).unflatten(-2, (-1, n_rows))
    weights = (scores + mask.to(scores.dtype)).softmax(-1)
    out: Tensor = weights.to(v.dtype).flatten(-3, -2) @ v
    return out.reshape(q.shape)


def _split(t: Tensor, n_videos: int) -> Tensor:
    """From `video*chunk ...` to `video chunk ...`."""
    return t.reshape(n_videos, -1, *t.shape[1:])
