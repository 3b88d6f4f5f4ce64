"""Next-token loss over answers that stand behind visual tokens, for families without VSTs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from engine.models.layers.decoder import Decoder, Layer
from engine.models.layers.rotary import RopeFactors, apply_rope
from engine.models.layers.splice import IGNORED_LABEL, PaddedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSequence:
    """A conversation about some media, before it is embedded."""

    ids: Int64[Tensor, " token"]
    """With a placeholder for every visual token."""
    labels: Int64[Tensor, " token"]
    """The ids to learn; the rest is ignored."""
    visual: Float[Tensor, "visual width"]
    """In decoder space; whatever learns on the way there gets gradients."""


def run_causal(
    decoder: Decoder,
    rows: Float[Tensor, "sample token width"],
    *,
    gradient_checkpointing: bool = False,
) -> Float[Tensor, "sample token width"]:
    """Run whole sequences in one differentiable pass; equal to `Decoder.extend` on an empty buffer.

    Padding has to stand behind the samples: no row sees what comes after it.

    Args:
        decoder: Its summary tokens, if any, take no part.
        rows: Embeddings.
        gradient_checkpointing: Keep only each layer's input for the backward pass, which computes
            the rest again; the gradients are the same.
    """
    rope = decoder.rope(torch.arange(rows.shape[1], device=rows.device))
    for layer in decoder.stack():
        if gradient_checkpointing:
            rows = checkpoint(_layer, layer, rows, rope, use_reentrant=False)
        else:
            rows = _layer(layer, rows, rope)
    out: Tensor = decoder.norm(rows)
    return out


def _layer(layer: Layer, rows: Tensor, rope: RopeFactors) -> Tensor:
    attention = layer.attention
    q, k, v = attention.split(attention.qkv(layer.attention_norm(rows)))
    mixed = F.scaled_dot_product_attention(
        apply_rope(q, rope), apply_rope(k, rope), v, is_causal=True, enable_gqa=True
    )
    rows = rows + attention.merge(mixed)
    return rows + layer.mlp(rows)


def causal_loss(decoder: Decoder, batch: PaddedBatch) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the labelled tokens of a batch, padded behind.

    Cost: logits only where there is a label; for a vocabulary of 152,000 they would outweigh
    everything else.
    """
    labels = batch.labels[:, 1:]
    has_label = labels != IGNORED_LABEL
    if not bool(has_label.any()):
        raise ValueError("a batch must have at least one label")
    hidden = run_causal(decoder, batch.embeddings)[:, :-1]
    return F.cross_entropy(decoder.logits(hidden[has_label]).float(), labels[has_label])
