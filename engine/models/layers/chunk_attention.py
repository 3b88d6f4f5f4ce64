"""Attention of one question on each of many chunks, each alone behind the prompt prefix.

The second retrieval signal. Chunks of one size run as a batch; how a chunk gets into the batch's
KV cache is the family's own: Video-XL writes its keys and values, the others prefill embeddings.
"""

from collections.abc import Callable, Hashable, Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models.layers.decoder import Decoder, KvBuffer

SCORE_TOKENS = 4096
"""Tokens a pass when many chunks are scored side by side; bounds the activations."""


def score_chunks(
    sizes: Sequence[int],
    attention_mass: Callable[[list[int]], Float32[Tensor, " chunk"]],
    *,
    kinds: Sequence[Hashable] | None = None,
    rows_per_chunk: Callable[[int], int],
    full_latents: int,
) -> Float32[Tensor, " chunk"]:
    """Score chunks of any sizes, a batch of equal ones at a time, on one scale.

    A chunk of fewer latents offers the question fewer keys and gets less of its attention for
    that alone. So the odds of each chunk are brought to those that a full one would have.

    Args:
        sizes: Latents of each chunk; an empty chunk scores 0.
        attention_mass: Attention mass on the chunks of these indices, all of one size and kind.
        kinds: What else chunks of a batch must share.
        rows_per_chunk: Tokens that a chunk of this size puts through the decoder.
        full_latents: Latents of a full chunk.
    Returns:
        Scores in [0, 1], in the order of `sizes`, on the CPU.
    """
    scores = torch.zeros(len(sizes))
    alike: dict[tuple[int, Hashable], list[int]] = {}
    for idx, size in enumerate(sizes):
        if size:
            kind = None if kinds is None else kinds[idx]
            alike.setdefault((size, kind), []).append(idx)
    for (size, _), indices in alike.items():
        step = max(1, SCORE_TOKENS // rows_per_chunk(size))
        for start in range(0, len(indices), step):
            batch = indices[start : start + step]
            mass = attention_mass(batch)
            # A mass of 1 would have infinite odds; the floor keeps it finite.
            odds = mass / (1 - mass).clamp_min(1e-6) * (full_latents / size)
            scores[batch] = (odds / (1 + odds)).cpu()
    return scores


def question_mass(
    decoder: Decoder, buffer: KvBuffer, chunk: range, question: Float[Tensor, "token width"]
) -> Float32[Tensor, " chunk"]:
    """Measure the attention of a question on one stretch of every sequence of a batch.

    Args:
        decoder: In evaluation mode.
        buffer: Prefix and chunk, one chunk for each sequence of the batch; its length stays.
        chunk: Positions of the chunk.
        question: Embeddings; every row of it counts.
    Returns:
        Mean over layers, heads and rows of the attention weight on the chunk.
    Cost: a prefill of the question for each chunk, without the last layer's MLP.
    """
    attn_weights: list[Tensor] = []
    rows = question[None].expand(buffer.keys.shape[1], -1, -1)
    decoder.extend(
        rows,
        buffer,
        attn_weights=attn_weights,
        n_query_rows=question.shape[0],
        stop_after_weights=True,
    )
    by_layer = [
        weights[:, :, chunk.start : chunk.stop].sum(-1).mean(-1) for weights in attn_weights
    ]
    return torch.stack(by_layer).mean(0)
