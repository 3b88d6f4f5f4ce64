"""Models that keep chunks as decoder embeddings: what the families without KV compression share.

A chunk's latents do not depend on the chunks before it, so a stream has no memory of its own; to
answer, recalled chunks take their place in the prompt, among the text that the template writes
before, between and behind them.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Float32, Int16
from torch import Tensor

from engine import device as devices
from engine.models.layers import chunk_attention
from engine.models.layers.chunk_attention import question_mass
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.generate import generate, stepwise
from engine.models.layers.prompt_rows import (
    Positions,
    Prompt,
    embed_ids,
    lay_out,
    prefill,
    split_parts,
)
from engine.models.layers.shared_steps import SharedSteps
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
        self._steps = SharedSteps(decoder)
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

    @property
    def shares_steps(self) -> bool:
        """Whether answers in threads beside each other decode in common steps."""
        return self.device.type == "cpu"

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes in a prompt."""
        return len(self.tokenizer.plain(text))

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
        return self._score(self.prompt(question, candidates[:1]), candidates)

    def _score(
        self, prompt: Prompt, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Score candidates, each alone in the place of the first chunk of a prompt."""
        return score_chunks(
            self.decoder,
            prompt,
            [_require_embeddings(candidate) for candidate in candidates],
            n_parts=[self.parts_of(candidate) for candidate in candidates],
            full_latents=self.card.latents_per_chunk,
        )

    def parts_of(self, chunk: ChunkLatents) -> int:
        """Count the parts that a chunk's latents are spread over evenly; a single one here."""
        return 1

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
        self,
        prompt: Prompt,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        images: Sequence[TokenLatents] = (),
    ) -> Iterator[Token]:
        """Answer a prompt, with the attention on each recalled chunk.

        Args:
            prompt: Around images, then chunks.
            recalled: In time order.
            sampling: How tokens are drawn.
            images: Each a piece of the prompt like a chunk.
        Raises:
            TypeError: A chunk holds keys and values instead of embeddings.
        """
        with torch.inference_mode(), devices.lane(self.device, "answer"):
            buffer, parts = self._prefilled(prompt, recalled, sampling.max_tokens, images)
            rows = embed_ids(self.decoder, prompt.after)
        tokens = generate(
            self.decoder,
            buffer,
            rows,
            self.tokenizer,
            sampling,
            stop=self._stop,
            chunks=[part for chunk in parts for part in chunk],
            shared=self._steps,
        )
        counts = [len(chunk) for chunk in parts]
        for token in stepwise(tokens, self.device):
            yield replace(token, chunk_mass=_summed(token.chunk_mass, counts))

    def _prefilled(
        self,
        prompt: Prompt,
        recalled: Sequence[ChunkLatents],
        max_tokens: int,
        images: Sequence[TokenLatents] = (),
    ) -> tuple[KvBuffer, list[list[range]]]:
        """Run a prompt up to its last chunk.

        Returns:
            The KV cache, and where the parts of each chunk lie in it.
        """
        latents = [*images, *(_require_embeddings(chunk) for chunk in recalled)]
        buffer, parts = prefill_chunks(
            self.decoder,
            prompt,
            [part.embeddings for part in latents],
            [part.places for part in latents],
            max_tokens=max_tokens,
        )
        return buffer, parts[len(images) :]


def prefill_chunks(
    decoder: Decoder,
    prompt: Prompt,
    chunks: Sequence[Float[Tensor, "_latent _width"]],
    places: Sequence[Int16[Tensor, "_latent 2"] | None] = (),
    *,
    max_tokens: int,
) -> tuple[KvBuffer, list[list[range]]]:
    """Run a prompt up to its last chunk.

    Args:
        decoder: In evaluation mode.
        prompt: Around as many chunks.
        chunks: Their embeddings.
        places: Row and column of each latent, for a decoder that turns by them.
        max_tokens: Of the answer, for which room is made at once.
    Returns:
        The filled KV cache, and the tokens of the parts of each chunk in it.
    Cost: a prefill of all recalled latents; a few thousand tokens a chunk.
    """
    laid = lay_out(decoder, prompt, chunks, places)
    # The question and the whole answer fit too: a cache that grows is held twice meanwhile.
    buffer = decoder.buffer(len(laid.rows) + len(prompt.after) + max_tokens)
    prefill(decoder, laid.rows[None], buffer, laid.positions)
    return buffer, laid.parts


def score_chunks(
    decoder: Decoder,
    prompt: Prompt,
    candidates: Sequence[TokenLatents],
    *,
    n_parts: Sequence[int] = (),
    full_latents: int,
) -> Float32[Tensor, " chunk"]:
    """Score chunks by the attention of a question on each, alone behind the prompt's opening.

    Args:
        decoder: In evaluation mode.
        prompt: Around one chunk; labels are left out.
        candidates: In any order, of any sizes.
        n_parts: Parts of each; empty where each is a single one.
        full_latents: Latents of a full chunk, to whose odds others are brought.
    Cost: a prefill of every candidate, those of one size side by side.
    """
    question = embed_ids(decoder, prompt.after)
    opening = prefilled_opening(decoder, prompt)
    parts = list(n_parts) or [1] * len(candidates)

    def attention_mass(indices: list[int]) -> Tensor:
        first = candidates[indices[0]]
        chunks = torch.stack([candidates[idx].embeddings for idx in indices]).to(question)
        start, end = opening.n, opening.n + chunks.shape[1]
        buffer = decoder.buffer(end + len(question), batch=len(indices))
        buffer.copy_from(opening)
        positions = chunk_positions(decoder, start, first, parts[indices[0]])
        prefill(decoder, chunks, buffer, positions)
        return question_mass(decoder, buffer, range(start, end), question)

    return chunk_attention.score_chunks(
        [latents.n_latents for latents in candidates],
        attention_mass,
        kinds=[kind_of(latents, count) for latents, count in zip(candidates, parts, strict=True)],
        rows_per_chunk=lambda size: size + len(question),
        full_latents=full_latents,
    )


def prefilled_opening(decoder: Decoder, prompt: Prompt) -> KvBuffer:
    """Run what stands before the first chunk."""
    opening = decoder.buffer(len(prompt.before) + 1)
    positions = Positions(0, is_grid=decoder.config.rope_sections is not None)
    positions.text(len(prompt.before))
    prefill(decoder, embed_ids(decoder, prompt.before)[None], opening, positions)
    return opening


def chunk_positions(decoder: Decoder, start: int, latents: Latents, n_parts: int) -> Positions:
    """Number the latents of a chunk without labels, from a position on."""
    positions = Positions(start, is_grid=decoder.config.rope_sections is not None)
    for part in split_parts(latents.n_latents, n_parts):
        if latents.places is None:
            positions.text(len(part))
        else:
            positions.grid(latents.places[part.start : part.stop])
    return positions


def kind_of(latents: Latents, n_parts: int) -> Hashable:
    """Return what chunks must share to run as one batch, beside their size."""
    places = latents.places
    return None if places is None else (n_parts, places.cpu().numpy().tobytes())


def _summed(
    mass: Float32[Tensor, " part"] | None, counts: Sequence[int]
) -> Float32[Tensor, " chunk"] | None:
    """Sum the attention on the parts of each chunk."""
    if mass is None or all(count == 1 for count in counts):
        return mass
    return torch.stack([parts.sum() for parts in torch.split(mass, list(counts))])


def _require_embeddings(chunk: ChunkLatents) -> TokenLatents:
    if not isinstance(chunk.latents, TokenLatents):
        kind = type(chunk.latents).__name__
        raise TypeError(f"chunk {chunk.ref.ordinal} must hold embeddings, not {kind}")
    return chunk.latents
