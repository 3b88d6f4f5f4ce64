"""A whole training sequence in one parallel pass, equal to streaming it chunk by chunk.

While streaming, a VST stands at one position inside its chunk and at another in memory. Here
each VST key therefore appears twice, turned to either place, and a mask shows every row what it
would have seen at its time. Gradients flow from text through VSTs into every earlier chunk.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from engine.nn.attention import View, attend
from engine.nn.decoder import Decoder
from engine.nn.rotary import rotate
from engine.nn.vst import weave


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a sequence consists of, in tokens; shared by all sequences of a batch."""

    n_prefix: int
    chunks: tuple[tuple[int, int], ...]
    """Visual tokens and compression ratio of each chunk."""
    texts: tuple[int, ...]
    """Texts behind the video, each alone with it: several questions share one encoding."""
    is_closed: bool = False
    """Whether a chunk that ends in a remainder gets a last VST; else the remainder carries on."""

    @property
    def n_visual(self) -> int:
        """Visual tokens of all chunks."""
        return sum(n for n, _ in self.chunks)


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows, positions and sight of a course; rows are prefix, visual tokens, texts, then VSTs."""

    position: Int64[Tensor, " row"]
    memory_position: Int64[Tensor, " vst"]
    visible: Bool[Tensor, "row key"]
    """Keys are the rows, then every VST once more as memory."""


def lay_out(course: Course) -> Layout:
    """Positions and sight of every row; the same for all batches of one course."""
    position = [torch.arange(course.n_prefix)]
    block = [torch.full((course.n_prefix,), -1)]
    vst_position, vst_block = [], []
    base, carry = course.n_prefix, 0
    for i, (n_raw, ratio) in enumerate(course.chunks):
        plan = weave(n_raw, ratio, carry=carry, is_closed=course.is_closed)
        carry = plan.carry
        position.append(base + plan.raw)
        vst_position.append(base + plan.vst)
        block.append(torch.full((plan.n_raw,), i))
        vst_block.append(torch.full((plan.n_vst,), i))
        base += plan.n_vst
    for i, n_text in enumerate(course.texts, len(course.chunks)):
        position.append(base + torch.arange(n_text))
        block.append(torch.full((n_text,), i))
    n_vst = base - course.n_prefix
    row_position = torch.cat(position + vst_position)
    row_block = torch.cat(block + vst_block)
    is_near = (row_block[None] == row_block[:, None]) | (row_block[None] == -1)
    near = is_near & (row_position[None] <= row_position[:, None])
    last_text = torch.where(row_block < len(course.chunks), row_block, len(course.chunks))
    memory_block = torch.cat(vst_block) if vst_block else torch.zeros(0)
    far = memory_block[None] < last_text[:, None]
    return Layout(row_position, course.n_prefix + torch.arange(n_vst), torch.cat((near, far), 1))


def one_pass(
    decoder: Decoder, rows: Float[Tensor, "batch row width"], layout: Layout
) -> Float[Tensor, "batch row width"]:
    """Run sequences of one course.

    Args:
        decoder: With summary tokens.
        rows: Embeddings of prefix, visual tokens and texts; VST rows are added here.
        layout: From `lay_out`, on the rows' device or the CPU.
    Returns:
        The given rows after the final norm; feed those of labels to `decoder.logits`.
    Cost: scores of row x (row + vst); for training lengths, not for hours.
    """
    assert decoder.vst_embed is not None, "this decoder has no summary tokens"
    n, n_vst = rows.shape[1], layout.memory_position.shape[0]
    config = decoder.config
    mask = torch.zeros(layout.visible.shape, dtype=rows.dtype, device=rows.device)
    mask = mask.masked_fill(~layout.visible.to(rows.device), float("-inf"))
    sight = View(mask.repeat(config.n_groups, 1))
    turned = decoder.turn(layout.position.to(rows.device))
    memory_turned = decoder.turn(layout.memory_position.to(rows.device))
    x = torch.cat((rows, decoder.vst_embed.expand(rows.shape[0], n_vst, -1)), 1)
    for layer in decoder.stack():
        attention = layer.attention
        assert attention.vst_qkv is not None
        normed = layer.attention_norm(x)
        qkv = torch.cat((attention.qkv(normed[:, :n]), attention.vst_qkv(normed[:, n:])), 1)
        q, k, v = attention.split(qkv)
        keys = torch.cat((rotate(k, turned), rotate(k[:, :, n:], memory_turned)), 2)
        values = torch.cat((v, v[:, :, n:]), 2)
        x = x + attention.merge(attend(rotate(q, turned), keys, values, sight))
        x = x + layer.mlp(x)
    out: Tensor = decoder.norm(x[:, :n])
    return out
