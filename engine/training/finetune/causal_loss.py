"""Next-token loss over answers that stand behind visual tokens, for families without VSTs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from engine.device import upload
from engine.models.layers.decoder import Decoder, Layer
from engine.models.layers.rotary import RopeFactors, apply_rope
from engine.models.layers.splice import IGNORED_LABEL, PaddedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSequence:
    """A conversation about some media, before it is embedded."""

    ids: Int64[Tensor, " token"]
    """With a placeholder for every visual token; on the host, as the labels are."""
    labels: Int64[Tensor, " token"]
    """The ids to learn; the rest is ignored."""
    visual: Float[Tensor, "visual width"]
    """In decoder space, on its device; whatever learns on the way there gets gradients."""


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
            rows = checkpoint(layer, _layer, rows, rope, use_reentrant=False)
        else:
            rows = layer(_layer, rows, rope)
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


def causal_loss(
    decoder: Decoder, batch: PaddedBatch, *, gradient_checkpointing: bool = False
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the labelled tokens of a batch, padded behind.

    Args:
        decoder: On the device of the embeddings.
        batch: Its labels on the host, where rows are chosen by them: a device is not waited for.
        gradient_checkpointing: Compute layers again in the backward pass.
    Cost: logits only where there is a label; for a vocabulary of 152,000 they would outweigh
    everything else.
    """
    # The last row of a sample has nothing to learn.
    labels = F.pad(batch.labels[:, 1:], (0, 1), value=IGNORED_LABEL).flatten()
    labelled = (labels != IGNORED_LABEL).nonzero()[:, 0]
    if not len(labelled):
        raise ValueError("a batch must have at least one label")
    hidden = run_causal(decoder, batch.embeddings, gradient_checkpointing=gradient_checkpointing)
    chosen = hidden.flatten(0, 1)[upload(labelled, hidden.device)]
    targets = upload(labels[labelled], hidden.device)
    return F.cross_entropy(decoder.logits(chosen).float(), targets)
