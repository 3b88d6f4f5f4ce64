"""A whole training sequence in one parallel pass, equal to streaming it chunk by chunk.

While streaming, a VST has one position inside its chunk and another in the cache. Here each VST
key is therefore rotated twice, to either position. Every chunk attends to what would have been
in the cache at its time and, causally, to itself. Gradients flow from text through VSTs into
every earlier chunk.

Decision: attention block by block, because one dense mask over all rows and keys grows with the
square of the video: 14 GB for 128 frames of 144 tokens at ratio 2, against 25 MB for the largest
block. The projections and the MLP, which are most of the work, still run over all rows at once.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from engine.models.layers.decoder import Decoder, Layer
from engine.models.layers.rotary import RopeFactors, apply_rope
from engine.models.video_xl.vst import Interleave, interleave

EAGER_MAX_SCORES = 1 << 24
"""Scores up to which the CPU takes eager attention, whose backward pass beats the fused kernel's:
a step of nano over 128 frames takes half the time (one core, 2026-11-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec:
    """Parts of a sequence, in tokens; shared by all sequences of a batch."""

    n_prefix: int
    chunks: tuple[tuple[int, int], ...]
    """Tokens and compression ratio of each chunk, in order; ratio 0 keeps its tokens as they
    are, which is what text between two videos asks for."""
    texts: tuple[int, ...]
    """Texts behind all of it, each alone with it: several questions share one encoding."""
    is_closed: bool = False
    """Whether a remainder at a chunk's end gets a last VST; else the next chunk takes it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows that see the same part of the cache and, causally, each other."""

    start: int
    """In streaming order."""
    end: int
    n_past: int
    """Cache entries that were there at the block's time."""
    visible: Bool[Tensor, "row key"] | None
    """`None` where the cache is still empty and the causal rule is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Positions of all rows of a spec; rows come as prefix, chunks, texts, then all VSTs."""

    n_given: int
    """Rows that the caller embeds; the others are VSTs."""
    order: Int64[Tensor, " row"]
    """Rows in streaming order: VSTs interleaved."""
    rank: Int64[Tensor, " row"]
    """Index of each row in that order."""
    position: Int64[Tensor, " row"]
    """Rotary position of each row, in streaming order."""
    kept: Int64[Tensor, " cached"]
    """Rows that stay in the cache, as indices in streaming order; entry n has position n."""
    blocks: tuple[Block, ...]

    @property
    def n_vst(self) -> int:
        """Summary tokens of all chunks."""
        return self.order.shape[0] - self.n_given

    def to(self, device: torch.device) -> "Layout":
        """Return the same layout on a device."""
        blocks = tuple(
            block if block.visible is None else replace(block, visible=block.visible.to(device))
            for block in self.blocks
        )
        return replace(
            self,
            order=self.order.to(device),
            rank=self.rank.to(device),
            position=self.position.to(device),
            kept=self.kept.to(device),
            blocks=blocks,
        )


def build_layout(spec: SequenceSpec) -> Layout:
    """Compute position and mask of every row; the same for all batches of one spec."""
    n_given = spec.n_prefix + sum(n for n, _ in spec.chunks) + sum(spec.texts)
    rows = _LayoutBuilder(n_given)
    rows.add(_plain(spec.n_prefix), is_kept=True)
    leftover = 0
    for n, ratio in spec.chunks:
        if ratio == 0:
            rows.add(_plain(n), is_kept=True)
            continue
        plan = interleave(n, ratio, leftover=leftover, is_closed=spec.is_closed)
        leftover = plan.leftover
        rows.add(plan, is_kept=False)
    for n in spec.texts:
        rows.add(_plain(n), is_kept=False)
    order = torch.cat(rows.order)
    return Layout(
        n_given=n_given,
        order=order,
        rank=order.argsort(),
        position=torch.cat(rows.position),
        kept=torch.cat(rows.kept),
        blocks=tuple(rows.blocks),
    )


class _LayoutBuilder:
    """Blocks of a layout, collected in streaming order."""

    def __init__(self, n_given: int) -> None:
        self.order: list[Tensor] = []
        self.position: list[Tensor] = []
        self.kept: list[Tensor] = [torch.zeros(0, dtype=torch.int64)]
        self.blocks: list[Block] = []
        self._given, self._vst, self._n, self._n_kept = 0, n_given, 0, 0

    def add(self, plan: Interleave, *, is_kept: bool) -> None:
        """Add a block; of a chunk its VSTs are kept, of other blocks everything or nothing."""
        if not plan.n:
            return
        rows = torch.empty(plan.n, dtype=torch.int64)
        rows[plan.raw] = self._given + torch.arange(plan.n_raw)
        rows[plan.vst] = self._vst + torch.arange(plan.n_vst)
        self._given, self._vst = self._given + plan.n_raw, self._vst + plan.n_vst
        self.order.append(rows)
        self.position.append(self._n_kept + torch.arange(plan.n))
        # The first block has no past; the causal kernel needs no mask for it.
        past, visible = self._n_kept, None
        if past:
            visible = torch.ones(plan.n, past + plan.n, dtype=torch.bool).tril(past)
        self.blocks.append(Block(start=self._n, end=self._n + plan.n, n_past=past, visible=visible))
        kept = torch.arange(plan.n) if is_kept else plan.vst
        self.kept.append(self._n + kept)
        self._n, self._n_kept = self._n + plan.n, self._n_kept + len(kept)


def _plain(n: int) -> Interleave:
    """Plan a stretch without summary tokens."""
    return Interleave(torch.arange(n), torch.zeros(0, dtype=torch.int64), 0)


def parallel_forward(
    decoder: Decoder,
    rows: Float[Tensor, "batch row width"],
    layout: Layout,
    *,
    gradient_checkpointing: bool = False,
) -> Float[Tensor, "batch row width"]:
    """Run sequences of one spec through all layers at once.

    Args:
        decoder: With summary tokens.
        rows: Embeddings of prefix, chunks and texts; VST rows are added here.
        layout: From `build_layout`, on the rows' device or the CPU.
        gradient_checkpointing: Keep only each layer's input for the backward pass and compute the
            rest again there. The gradients are the same; at 9,216 tokens the peak is 0.35 of what
            it is otherwise, for 1.15 of the time (benchmark `training`, 2026-11-21).
    Returns:
        The given rows after the final norm; feed those of labels to `decoder.logits`.
    Cost: attention scores of every block x (its part of the cache + itself).
    """
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    layout = layout.to(rows.device)
    rope = decoder.rope(layout.position)
    cached_rope = decoder.rope(torch.arange(len(layout.kept), device=rows.device))
    x = torch.cat((rows, decoder.vst_embed.expand(rows.shape[0], layout.n_vst, -1)), 1)
    for layer in decoder.stack():
        if gradient_checkpointing:
            x = checkpoint(layer, _layer, x, layout, rope, cached_rope, use_reentrant=False)
        else:
            x = layer(_layer, x, layout, rope, cached_rope)
    out: Tensor = decoder.norm(x[:, : layout.n_given])
    return out


def _layer(
    layer: Layer, x: Tensor, layout: Layout, rope: RopeFactors, cached_rope: RopeFactors
) -> Tensor:
    attention, n = layer.attention, layout.n_given
    assert attention.vst_qkv is not None
    normed = layer.attention_norm(x)
    both = torch.cat((attention.qkv(normed[:, :n]), attention.vst_qkv(normed[:, n:])), 1)
    q, k, v = attention.split(both[:, layout.order])
    # A kept key takes its cache position for later blocks, and its position in the chunk for its
    # own block: two rotations of one product.
    cached_k, cached_v = apply_rope(k[:, :, layout.kept], cached_rope), v[:, :, layout.kept]
    q, k = apply_rope(q, rope), apply_rope(k, rope)
    attended = []
    for block in layout.blocks:
        rows = slice(block.start, block.end)
        keys = torch.cat((cached_k[:, :, : block.n_past], k[:, :, rows]), 2)
        values = torch.cat((cached_v[:, :, : block.n_past], v[:, :, rows]), 2)
        attended.append(_attend(q[:, :, rows], keys, values, block))
    # Blocks come in streaming order; the residual stream keeps the caller's.
    x = x + attention.merge(torch.cat(attended, 2)[:, :, layout.rank])
    return x + layer.mlp(x)


def _attend(q: Tensor, k: Tensor, v: Tensor, block: Block) -> Tensor:
    """Attend within one block, by whichever form trains faster at its size."""
    is_small = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] <= EAGER_MAX_SCORES
    return (_eager if is_small and q.device.type == "cpu" else _fused)(q, k, v, block)


def _eager(q: Tensor, k: Tensor, v: Tensor, block: Block) -> Tensor:
    """Attend with scores, softmax and sum written out, a group's heads one behind the other."""
    n_batch, n_kv_heads, n_keys, head_dim = k.shape
    n = q.shape[2]
    scores = q.reshape(n_batch, n_kv_heads, -1, head_dim) @ k.transpose(2, 3)
    scores = scores.view(n_batch, -1, n, n_keys) * head_dim**-0.5
    weights = scores.masked_fill(~_visible(block, q.device), float("-inf")).softmax(-1)
    out: Tensor = weights.to(v.dtype).view(n_batch, n_kv_heads, -1, n_keys) @ v
    return out.reshape(q.shape)


def _fused(q: Tensor, k: Tensor, v: Tensor, block: Block) -> Tensor:
    """Attend with the kernels that keep no scores; a group's heads share keys and mask as views."""
    n_batch, n_kv_heads, n_keys, head_dim = k.shape
    groups = q.shape[1] // n_kv_heads
    # Expanded views, because repeated keys and values would be copies as large as the queries.
    folded = q.reshape(n_batch * n_kv_heads, groups, -1, head_dim)
    k, v = (
        heads.reshape(n_batch * n_kv_heads, 1, n_keys, head_dim).expand(-1, groups, -1, -1)
        for heads in (k, v)
    )
    out = F.scaled_dot_product_attention(
        folded, k, v, attn_mask=block.visible, is_causal=block.visible is None
    )
    return out.reshape(q.shape)


def _visible(block: Block, device: torch.device) -> Bool[Tensor, "row key"]:
    if block.visible is not None:
        return block.visible
    n = block.end - block.start
    return torch.ones(n, n, dtype=torch.bool, device=device).tril()
