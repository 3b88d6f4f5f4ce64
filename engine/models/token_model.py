"""Models that keep chunks as decoder embeddings: what the families without KV compression share.

A chunk's latents do not depend on the chunks before it, so a stream has no memory of its own; to
answer, recalled chunks take their place in the prompt, among the text that the template writes
before, between and behind them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models.layers import chunk_attention
from engine.models.layers.chunk_attention import question_mass
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.generate import PREFILL_TOKENS, generate, stepwise
from engine.models.layers.text_image import TextEncoder
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling
from engine.records import ModelCard, Turn
from engine.tensors import ChunkLatents, Latents, Token, TokenLatents


class TokenStream:
    """A running video of a family whose chunks do not look back."""

    def __init__(self, compression_ratio: int) -> None:
        self._compression_ratio = compression_ratio

    @property
    def compression_ratio(self) -> int:
        """Visual tokens per latent in this stream."""
        return self._compression_ratio

    def remember(self, latents: Latents) -> None:
        """Do nothing: no later chunk looks back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Ids around recalled chunks."""

    before: Sequence[int]
    """Up to the first chunk."""
    labels: Sequence[Sequence[int]] = ()
    """Ids right before each chunk; empty where a family writes nothing there."""
    after: Sequence[int]
    """Behind the last chunk, with the opening of the answer."""


class TokenModel(ABC):
    """A family that keeps embeddings; it adds its towers, `compress` and its prompt.

    Weights and tokenizers only: nothing changes between calls.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        text_encoder: TextEncoder,
        *,
        card: ModelCard,
        stop: frozenset[int],
    ) -> None:
        """Hold what answers need.

        Args:
            decoder: In evaluation mode.
            tokenizer: The decoder's.
            text_encoder: For queries in the space of frame vectors.
            card: Of this family and variant.
            stop: Ids that end an answer.
        """
        self.decoder, self.tokenizer, self.text_encoder = decoder, tokenizer, text_encoder
        self.card, self._stop = card, stop
        self.device, self.dtype = decoder.embed.weight.device, decoder.embed.weight.dtype

    @abstractmethod
    def prompt(
        self, question: str, recalled: Sequence[ChunkLatents], history: Sequence[Turn] = ()
    ) -> Prompt:
        """Write the prompt of a question around recalled chunks, in the order they stand in."""

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> TokenStream:
        """Start or resume a video; nothing of the past is needed.

        Raises:
            ValueError: The family cannot compress by this ratio.
        """
        ratio = self.card.compression_ratio if compression_ratio is None else compression_ratio
        self._check_ratio(ratio)
        return TokenStream(ratio)

    def _check_ratio(self, compression_ratio: int) -> None:
        """Refuse a ratio other than the card's, which the connector's weights fix."""
        own = self.card.compression_ratio
        if compression_ratio != own:
            raise ValueError(
                f"compression_ratio of {self.card.family} must be {own}, which its weights fix, "
                f"not {compression_ratio}"
            )

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """Embed a query as a unit vector in the space of frame vectors.

        Raises:
            MissingCapabilityError: No tower with a text side is at hand.
        """
        return self.text_encoder.embed(text)

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Score candidates by the question's attention to each, alone behind the prompt's opening.

        Labels are left out, so that no candidate is favoured for its time.
        """
        return score_chunks(
            self.decoder,
            self.prompt(question, candidates[:1]),
            candidates,
            full_latents=self.card.latents_per_chunk,
        )

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Answer from recalled chunks, in the order given, token by token."""
        yield from self._generate(self.prompt(question, recalled, history), recalled, sampling)

    def _generate(
        self, prompt: Prompt, recalled: Sequence[ChunkLatents], sampling: Sampling
    ) -> Iterator[Token]:
        """Answer a prompt, with the attention on each recalled chunk.

        Raises:
            TypeError: A chunk holds keys and values instead of embeddings.
        """
        with torch.inference_mode():
            embeddings = [_require_embeddings(chunk) for chunk in recalled]
            buffer, positions = prefill_chunks(self.decoder, prompt, embeddings)
            rows = embed_ids(self.decoder, prompt.after)
        tokens = generate(
            self.decoder,
            buffer,
            rows,
            self.tokenizer,
            sampling,
            stop=self._stop,
            chunks=positions,
        )
        yield from stepwise(tokens)


def prefill_chunks(
    decoder: Decoder, prompt: Prompt, chunks: Sequence[Float[Tensor, "_latent width"]]
) -> tuple[KvBuffer, list[range]]:
    """Run a prompt up to its last chunk.

    Returns:
        The filled KV cache, and the positions of each chunk in it.
    Cost: a prefill of all recalled latents; a few thousand tokens a chunk.
    """
    rows, n = [embed_ids(decoder, prompt.before)], len(prompt.before)
    positions = list[range]()
    labels = prompt.labels or [()] * len(chunks)
    for label, chunk in zip(labels, chunks, strict=True):
        start = n + len(label)
        n = start + len(chunk)
        rows += [embed_ids(decoder, label), chunk.to(rows[0])]
        positions.append(range(start, n))
    # The question and the first token of the answer fit too, so that short ones never grow it.
    buffer = decoder.buffer(n + len(prompt.after) + 1)
    _prefill(decoder, torch.cat(rows)[None], buffer)
    return buffer, positions


def score_chunks(
    decoder: Decoder,
    prompt: Prompt,
    candidates: Sequence[ChunkLatents],
    *,
    full_latents: int,
) -> Float32[Tensor, " chunk"]:
    """Score chunks by the attention of a question on each, alone behind the prompt's opening.

    Args:
        decoder: In evaluation mode.
        prompt: Around one chunk; labels are left out.
        candidates: In any order, of any sizes.
        full_latents: Latents of a full chunk, to whose odds others are brought.
    Raises:
        TypeError: A candidate holds keys and values instead of embeddings.
    Cost: a prefill of every candidate, those of one size side by side.
    """
    embeddings = [_require_embeddings(candidate) for candidate in candidates]
    question = embed_ids(decoder, prompt.after)
    opening = decoder.buffer(len(prompt.before) + 1)
    _prefill(decoder, embed_ids(decoder, prompt.before)[None], opening)

    def attention_mass(indices: list[int]) -> Tensor:
        chunks = torch.stack([embeddings[idx] for idx in indices]).to(question)
        start, end = opening.n, opening.n + chunks.shape[1]
        buffer = decoder.buffer(end + len(question), batch=len(indices))
        buffer.copy_from(opening)
        _prefill(decoder, chunks, buffer)
        return question_mass(decoder, buffer, range(start, end), question)

    return chunk_attention.score_chunks(
        [len(rows) for rows in embeddings],
        attention_mass,
        rows_per_chunk=lambda size: size + len(question),
        full_latents=full_latents,
    )


def _prefill(decoder: Decoder, rows: Float[Tensor, "batch token width"], buffer: KvBuffer) -> None:
    """Run rows behind a KV cache in bounded steps."""
    for part in torch.split(rows, PREFILL_TOKENS, dim=1):
        if part.shape[1]:
            decoder.extend(part, buffer)


def embed_ids(decoder: Decoder, ids: Sequence[int]) -> Float[Tensor, "token width"]:
    """Embed ids on the decoder's device; there may be none."""
    device = decoder.embed.weight.device
    rows: Tensor = decoder.embed(torch.tensor(list(ids), dtype=torch.int64, device=device))
    return rows


def _require_embeddings(chunk: ChunkLatents) -> Float[Tensor, "latent width"]:
    if not isinstance(chunk.latents, TokenLatents):
        kind = type(chunk.latents).__name__
        raise TypeError(f"chunk {chunk.ref.ordinal} must hold embeddings, not {kind}")
    return chunk.latents.embeddings
