"""Splicing: visual tokens take the place of placeholders among the embeddings of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

PLACEHOLDER_ID = -200
"""Stands for one visual token among token ids; no vocabulary has it."""
IGNORED_LABEL = -100
"""Label of a row that the loss leaves out."""


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Samples of one batch as embeddings, padded to the longest."""

    embeddings: Float[Tensor, "sample token width"]
    labels: Int64[Tensor, "sample token"]
    """Where they were given."""
    is_real: Bool[Tensor, "sample token"]
    """False where a sample is padded."""


Embed = Callable[[Tensor], Tensor]
"""A decoder's table, or what adds a step to it: ids to rows."""


def splice(
    embed: Embed,
    ids: Int64[Tensor, " token"],
    visual: Float[Tensor, "visual width"],
) -> Float[Tensor, "token width"]:
    """Embed a prompt; its placeholders take the visual tokens in order.

    Args:
        embed: The decoder's table.
        ids: On the host, from where they go to the device of the visual tokens, or there already.
        visual: On the device of the table.
    Raises:
        ValueError: There are not as many placeholders as visual tokens.
    """
    is_visual = ids == PLACEHOLDER_ID
    n_placeholders = int(is_visual.sum())
    if n_placeholders != len(visual):
        raise ValueError(f"{n_placeholders} placeholders for {len(visual)} visual tokens")
    # Id 0 stands in for placeholders, which no table has; their rows are overwritten.
    rows = embed(ids.masked_fill(is_visual, 0).to(visual.device))
    spliced: Tensor = rows.masked_scatter(is_visual.to(visual.device)[:, None], visual.to(rows))
    return spliced


def splice_batch(
    embed: Embed,
    samples: Sequence[tuple[Int64[Tensor, " _"], Float[Tensor, "_ width"]]],
    labels: Sequence[Int64[Tensor, " _"]],
    *,
    max_tokens: int,
    pads_left: bool = False,
) -> PaddedBatch:
    """Splice samples of different lengths into one batch for training.

    Args:
        embed: The decoder's table.
        samples: Ids without padding, and the visual tokens of their placeholders.
        labels: The next tokens to learn, one for each id; visual rows are ignored anyway.
        max_tokens: Longer samples lose their end.
        pads_left: Padding stands before the samples instead of behind.
    """
    rows = [splice(embed, ids, visual)[:max_tokens] for ids, visual in samples]
    targets = [
        target.masked_fill(ids == PLACEHOLDER_ID, IGNORED_LABEL)[:max_tokens]
        for (ids, _), target in zip(samples, labels, strict=True)
    ]
    side = "left" if pads_left else "right"
    real = [torch.ones(len(row), dtype=torch.bool, device=row.device) for row in rows]
    return PaddedBatch(
        pad_sequence(rows, batch_first=True, padding_side=side),
        pad_sequence(targets, True, padding_value=IGNORED_LABEL, padding_side=side),
        pad_sequence(real, batch_first=True, padding_value=False, padding_side=side),
    )
