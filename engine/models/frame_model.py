"""Models whose chunks are frames among their times: kept as embeddings, or as keys and values.

Decision: what stays of a chunk is a choice at load time. Embeddings (`tokens`) are exact: a recall
runs them through the decoder as if the video had just been read. Keys and values (`keys_values`)
spare that: they were computed once, with the chunk alone behind the prompt's opening, and are
placed at fresh positions, *because* they are kept before rotary embedding. For one recalled chunk
the two agree; several chunks do not see each other then, which the models were not trained for.
What that costs in answers is measured on one's own footage by a needle probe, not claimed here.

Decision: a compression ratio thins frames without training (`layers/thinning`); at 1 nothing is
left out.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import torch
from jaxtyping import Float, Float32, Int16
from torch import Tensor

from engine.models.frame_checkpoint import Parts
from engine.models.layers import chunk_attention
from engine.models.layers.attention import build_mask
from engine.models.layers.chunk_attention import question_mass
from engine.models.layers.decoder import Decoder, KvBuffer, KvTrace
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.prompt_rows import (
    Positions,
    Prompt,
    embed_ids,
    lay_out,
    prefill,
    split_parts,
)
from engine.models.layers.recall import write_latents
from engine.models.layers.thinning import changed_most
from engine.models.token_model import (
    TokenModel,
    chunk_positions,
    kind_of,
    prefill_chunks,
    prefilled_opening,
)
from engine.protocols import Sampling, Stream
from engine.records import ChunkRef, LatentKind, ModelCard, TimeSpan, Turn, VideoId
from engine.tensors import (
    ChunkLatents,
    ImageLatents,
    KvLatents,
    Latents,
    Token,
    TokenLatents,
    VisualTokens,
)

MASK_ENTRIES = 1 << 24
"""Entries of a mask of text among recalled latents; 64 MiB at most in float32."""


class FrameModel(TokenModel):
    """A family whose frames stand among timestamps; it adds its towers and its prompt."""

    def __init__(
        self,
        decoder: Decoder,
        parts: Parts,
        *,
        card: ModelCard,
        stop: frozenset[int] = frozenset(),
    ) -> None:
        """Hold what answers need.

        Args:
            decoder: In evaluation mode.
            parts: Read from the checkpoint.
            card: Of this family and variant.
            stop: Ids that end an answer, beside those that the tokenizer names.
        """
        tokenizer = parts.tokenizer
        ends = tokenizer.ends() | stop
        super().__init__(decoder, tokenizer, parts.text_encoder, card=card, stop=ends)
        self.kind, self.joint_pixels = parts.latents, parts.joint_pixels

    @abstractmethod
    def grouped(
        self, tokens: VisualTokens
    ) -> tuple[Float[Tensor, "part token width"], Int16[Tensor, "token 2"] | None]:
        """Return the tokens of a chunk by the parts that the prompt shows, and their places."""

    @property
    def reads_images(self) -> bool:
        """Whether still images are read: by all of these."""
        return True

    @abstractmethod
    def prompt(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Prompt:
        """Write the prompt of a question around images, then recalled chunks."""

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Iterator[Token]:
        """Answer about images, which stand first, and recalled chunks, token by token."""
        prompt = self.prompt(question, recalled, history, images)
        shown = [latents for image in images for latents in image.latents]
        embeddings = [latents for latents in shown if isinstance(latents, TokenLatents)]
        yield from self._generate(prompt, recalled, sampling, embeddings)

    @abstractmethod
    def scoring_prompt(self, question: str) -> Prompt:
        """Write a prompt around a chunk whose times are left out."""

    def _check_ratio(self, compression_ratio: int) -> None:
        """Refuse a ratio that keeps more than everything."""
        if compression_ratio < 1:
            raise ValueError(f"compression_ratio must be at least 1, not {compression_ratio}")

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> Latents:
        """Keep a chunk: its tokens, thinned by the stream's ratio, or their keys and values."""
        n_frames = len(tokens.pts_s)
        if not 0 < n_frames <= self.card.chunk_frames:
            raise ValueError(
                f"tokens must be one chunk of 1 to {self.card.chunk_frames} frames, not {n_frames}"
            )
        parts, grid = self.grouped(tokens)
        n_kept = max(1, parts.shape[1] // stream.compression_ratio)
        kept = changed_most(parts[..., : self.decoder.config.width], n_kept)
        whole = TokenLatents(
            embeddings=parts.flatten(0, 1),
            places=None if grid is None else grid.repeat(len(parts), 1),
        )
        start = torch.arange(len(parts), device=kept.device)[:, None] * parts.shape[1]
        rows = (start + kept).flatten()
        if self.kind == "keys_values":
            return self._keys_values(tokens, whole, rows)
        places = None if whole.places is None else whole.places[rows.cpu()]
        return TokenLatents(embeddings=whole.embeddings[rows], places=places)

    def _keys_values(self, tokens: VisualTokens, whole: TokenLatents, rows: Tensor) -> KvLatents:
        """Run a chunk alone behind the prompt's opening; keep keys and values of some rows."""
        chunk = ChunkLatents(
            ref=ChunkRef(video=VideoId(""), ordinal=0, span=_span_of(tokens.pts_s.tolist())),
            latents=whole,
            frame_vectors=tokens.frame_vectors,
            pts_s=tokens.pts_s,
        )
        laid = lay_out(self.decoder, self.prompt("", [chunk]), [whole.embeddings], [whole.places])
        trace = KvTrace([], [])
        buffer = self.decoder.buffer(len(laid.rows))
        prefill(self.decoder, laid.rows[None], buffer, laid.positions, kv_trace=trace)
        own = torch.tensor([idx for part in laid.parts[0] for idx in part], device=rows.device)
        places = None if whole.places is None else whole.places[rows.cpu()]
        return KvLatents(
            keys=torch.stack([keys[0] for keys in trace.keys])[:, :, own[rows]],
            values=torch.stack([values[0] for values in trace.values])[:, :, own[rows]],
            places=places,
        )

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Score candidates by the question's attention to each, alone behind the prompt's opening.

        Times are left out, so that no candidate is favoured for its own.
        """
        return self._score(self.scoring_prompt(question), candidates)

    def _score(
        self, prompt: Prompt, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        if self.kind == "tokens":
            return super()._score(prompt, candidates)
        decoder = self.decoder
        latents = [_require_keys_values(candidate) for candidate in candidates]
        parts = [self.parts_of(candidate) for candidate in candidates]
        question, opening = embed_ids(decoder, prompt.after), prefilled_opening(decoder, prompt)

        def attention_mass(indices: list[int]) -> Tensor:
            batch = [latents[idx] for idx in indices]
            end = opening.n + batch[0].n_latents
            buffer = decoder.buffer(end + len(question), batch=len(batch))
            buffer.copy_from(opening)
            positions = chunk_positions(decoder, opening.n, batch[0], parts[indices[0]])
            write_latents(decoder, buffer, [[chunk] for chunk in batch], positions.rope(decoder))
            buffer.shift += positions.shift
            return question_mass(decoder, buffer, range(opening.n, end), question)

        return chunk_attention.score_chunks(
            [chunk.n_latents for chunk in latents],
            attention_mass,
            kinds=[kind_of(chunk, count) for chunk, count in zip(latents, parts, strict=True)],
            rows_per_chunk=lambda _: len(question),
            full_latents=self.card.latents_per_chunk,
        )

    def _prefilled(
        self,
        prompt: Prompt,
        recalled: Sequence[ChunkLatents],
        max_tokens: int,
        images: Sequence[TokenLatents] = (),
    ) -> tuple[KvBuffer, list[list[range]]]:
        if self.kind == "tokens":
            return super()._prefilled(prompt, recalled, max_tokens, images)
        latents = [_require_keys_values(chunk) for chunk in recalled]
        n_latents = sum(chunk.n_latents for chunk in latents)
        n_text = len(prompt.before) + sum(map(len, prompt.labels)) + len(prompt.after)
        head, rest = prompt.split_at(len(images))
        # Images are read anew for each question, so they run like text, before all chunks.
        buffer, _ = prefill_chunks(
            self.decoder,
            head,
            [image.embeddings for image in images],
            [image.places for image in images],
            max_tokens=n_latents + n_text + max_tokens,
        )
        labels, chunks = _Labels(buffer.n), list[list[range]]()
        for chunk, texts in zip(latents, rest.labels_of(len(latents)), strict=True):
            start = buffer.n
            for part, text in zip(split_parts(chunk.n_latents, len(texts)), texts, strict=True):
                labels.add(text, buffer)
                self._place(_part_of(chunk, part), buffer)
            chunks.append([range(start, buffer.n)])
        labels.run(self.decoder, buffer)
        return buffer, chunks

    def _place(self, part: KvLatents, buffer: KvBuffer) -> None:
        """Place the keys and values of a part at the positions that follow."""
        is_grid = self.decoder.config.rope_sections is not None
        positions = Positions(buffer.n + buffer.shift, is_grid=is_grid)
        if part.places is None:
            positions.text(part.n_latents)
        else:
            positions.grid(part.places)
        write_latents(self.decoder, buffer, [[part]], positions.rope(self.decoder))
        buffer.shift += positions.shift


class _Labels:
    """Text between recalled keys and values, which is run at once behind all of them.

    Where a token lies in a KV cache means nothing, its position does: so the text gets the
    positions between the parts, and a mask hides from it what comes later.
    """

    def __init__(self, n_before: int) -> None:
        self._n_before = n_before
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._n_seen: list[int] = []
        """Latents that stand before each token."""

    def add(self, ids: Sequence[int], buffer: KvBuffer) -> None:
        """Take the text of the next part, and leave room for its positions."""
        start = buffer.n + buffer.shift
        self._ids += ids
        self._positions += range(start, start + len(ids))
        self._n_seen += [buffer.n - self._n_before] * len(ids)
        buffer.shift += len(ids)

    def run(self, decoder: Decoder, buffer: KvBuffer) -> None:
        """Append the text to the cache, in blocks whose mask stays small."""
        n_latents, n_groups = buffer.n - self._n_before, decoder.config.n_groups
        rows, device = embed_ids(decoder, self._ids), buffer.keys.device
        seen = torch.tensor(self._n_seen, device=device)
        rope = decoder.rope(torch.tensor(self._positions, dtype=torch.int64, device=device))
        latents = torch.arange(n_latents, device=device)
        size = max(1, MASK_ENTRIES // (n_groups * (buffer.n + len(rows))))
        # What the positions ran ahead of the count for is made up as the text comes in.
        ahead = buffer.shift
        for start in range(0, len(rows), size):
            block = slice(start, min(start + size, len(rows)))
            n = block.stop - start
            behind = seen[block, None] > latents
            text = torch.ones(n, block.stop, dtype=torch.bool, device=device).tril(start)
            visible = torch.cat((behind.new_ones(n, self._n_before), behind, text), 1)
            mask = build_mask(0, visible, visible.shape[1], n_groups, like=rows, is_exact=True)
            decoder.extend(rows[None, block], buffer, rope=rope.slice(start, block.stop), mask=mask)
        buffer.shift = ahead - len(rows)


def latent_bytes(config: DecoderConfig, kind: LatentKind, *, n_levels: int = 1) -> int:
    """Return the numbers that are kept of a latent: its bytes at one byte each.

    Args:
        config: Of the decoder.
        kind: What is kept.
        n_levels: Embeddings of a token: one, and those that are added behind the first layers.
    """
    if kind == "keys_values":
        return 2 * config.n_layers * config.n_kv_heads * config.head_dim
    return n_levels * config.width


def _part_of(chunk: KvLatents, part: range) -> KvLatents:
    own = slice(part.start, part.stop)
    return KvLatents(
        keys=chunk.keys[:, :, own],
        values=chunk.values[:, :, own],
        places=None if chunk.places is None else chunk.places[own],
    )


def _span_of(times_s: Sequence[float]) -> TimeSpan:
    """Return the span of frames; the last one lasts as long as those before it."""
    steps_s = [after - before for before, after in pairwise(times_s)]
    return TimeSpan(start_s=times_s[0], end_s=times_s[-1] + (median(steps_s) if steps_s else 1.0))


def _require_keys_values(chunk: ChunkLatents) -> KvLatents:
    if not isinstance(chunk.latents, KvLatents):
        kind = type(chunk.latents).__name__
        raise TypeError(f"chunk {chunk.ref.ordinal} must hold keys and values, not {kind}")
    return chunk.latents
