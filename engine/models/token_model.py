"""Chunks kept as decoder embeddings: nothing to remember while streaming, recalled as prompt.

Families without KV compression share this file. A chunk's latents do not depend on the chunks
before it, so a stream has no memory of its own; to answer, recalled chunks take their place in
the prompt, between what the template writes before, between and behind them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.generate import PREFILL_TOKENS, stepwise
from engine.models.layers.generate import generate as generate_behind
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling
from engine.tensors import ChunkLatents, Latents, Token, TokenLatents

SURVEY_TOKENS = 4096
"""Tokens a pass when many candidates are surveyed side by side."""


class TokenStream:
    """A running video of a family whose chunks do not look back."""

    def __init__(self, compression_ratio: int) -> None:
        self._compression_ratio = compression_ratio

    @property
    def compression_ratio(self) -> int:
        """Visual tokens per latent in this stream."""
        return self._compression_ratio

    def remember(self, latents: Latents) -> None:
        """Nothing: the next chunk will not ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Ids around recalled chunks."""

    before: Sequence[int]
    """Up to the first chunk."""
    labels: Sequence[Sequence[int]] = ()
    """What is written right before each chunk; empty where a family writes nothing."""
    after: Sequence[int]
    """Behind the last chunk, with the opening of the answer."""


def answer(
    decoder: Decoder,
    prompt: Prompt,
    recalled: Sequence[ChunkLatents],
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    stop: frozenset[int],
) -> Iterator[Token]:
    """Answer from recalled chunks, token by token, with the attention on each chunk.

    Args:
        decoder: In evaluation mode.
        prompt: Around the chunks.
        recalled: Of this family, in the order they are to stand in.
        tokenizer: For the text of the ids.
        sampling: How ids are drawn.
        stop: Ids that end the answer.
    Raises:
        TypeError: A chunk holds keys and values instead of embeddings.
    """
    with torch.inference_mode():
        memory, places = place(decoder, prompt, [_embeddings(chunk) for chunk in recalled])
        rows = embed_ids(decoder, prompt.after)
    said = generate_behind(decoder, memory, rows, tokenizer, sampling, stop=stop, chunks=places)
    yield from stepwise(said)


def place(
    decoder: Decoder, prompt: Prompt, chunks: Sequence[Float[Tensor, "_latent width"]]
) -> tuple[KvBuffer, list[range]]:
    """Run everything up to the last chunk, and tell where each chunk stands.

    Cost: a prefill of all recalled latents; a few thousand tokens a chunk.
    """
    rows, places, n = [embed_ids(decoder, prompt.before)], list[range](), len(prompt.before)
    labels = prompt.labels or [()] * len(chunks)
    for label, chunk in zip(labels, chunks, strict=True):
        start = n + len(label)
        n = start + len(chunk)
        rows += [embed_ids(decoder, label), chunk.to(rows[0])]
        places.append(range(start, n))
    memory = decoder.buffer(n + len(prompt.after) + 1)
    extend(decoder, torch.cat(rows), memory)
    return memory, places


def extend(decoder: Decoder, rows: Float[Tensor, "token width"], memory: KvBuffer) -> None:
    """Run rows behind a memory in bounded steps."""
    for part in torch.split(rows, PREFILL_TOKENS):
        if part.shape[0]:
            decoder.extend(part[None], memory)


def attend(
    decoder: Decoder,
    prompt: Prompt,
    candidates: Sequence[ChunkLatents],
    *,
    full_latents: int,
) -> Float32[Tensor, " chunk"]:
    """How strongly a question attends to each candidate, each alone behind the opening.

    The mean over layers, heads and the question's tokens of the attention on the candidate;
    candidates of other sizes are brought to the odds of a full chunk.

    Args:
        decoder: In evaluation mode.
        prompt: Around one chunk; labels are left out.
        candidates: In any order, any number.
        full_latents: Latents of a full chunk.
    Cost: a prefill of every candidate, those of one size side by side.
    """
    rows = embed_ids(decoder, prompt.after)
    opening = decoder.buffer(len(prompt.before) + 1)
    extend(decoder, embed_ids(decoder, prompt.before), opening)
    scores = torch.zeros(len(candidates))
    sizes: dict[int, list[int]] = {}
    for idx, candidate in enumerate(candidates):
        sizes.setdefault(candidate.latents.n_latents, []).append(idx)
    for size, places in sizes.items():
        step = max(1, SURVEY_TOKENS // (size + len(rows)))
        for start in range(0, len(places) if size else 0, step):
            some = places[start : start + step]
            chunks = torch.stack([_embeddings(candidates[idx]) for idx in some])
            mass = _survey(decoder, opening, chunks.to(rows), rows)
            odds = mass / (1 - mass).clamp_min(1e-6) * (full_latents / size)
            scores[some] = (odds / (1 + odds)).cpu()
    return scores


def _survey(
    decoder: Decoder,
    opening: KvBuffer,
    chunks: Float[Tensor, "chunk latent width"],
    question: Float[Tensor, "token width"],
) -> Float32[Tensor, " chunk"]:
    """Attention mass of a question on chunks of one size, every one alone behind the opening."""
    n_chunks, size = chunks.shape[:2]
    start, end = opening.n, opening.n + size
    memory = decoder.buffer(end + len(question), batch=n_chunks)
    memory.keys[:, :, :, :start] = opening.keys[:, :, :, :start]
    memory.values[:, :, :, :start] = opening.values[:, :, :, :start]
    memory.n = start
    for part in torch.split(chunks, PREFILL_TOKENS, dim=1):
        decoder.extend(part, memory)
    looks: list[Tensor] = []
    asked = question[None].expand(n_chunks, -1, -1)
    decoder.extend(asked, memory, looks=looks, n_query_rows=len(question), stop_after_weights=True)
    return torch.stack([look[:, :, start:end].sum(-1).mean(-1) for look in looks]).mean(0)


def embed_ids(decoder: Decoder, ids: Sequence[int]) -> Float[Tensor, "token width"]:
    """Embeddings of ids."""
    table = decoder.embed.weight
    rows: Tensor = decoder.embed(torch.tensor(list(ids), dtype=torch.int64, device=table.device))
    return rows


def _embeddings(chunk: ChunkLatents) -> Float[Tensor, "latent width"]:
    if not isinstance(chunk.latents, TokenLatents):
        kind = type(chunk.latents).__name__
        raise TypeError(f"chunk {chunk.ref.ordinal} must hold embeddings, not {kind}")
    return chunk.latents.embeddings
