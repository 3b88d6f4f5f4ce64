"""Prompts around recalled chunks: ids, embeddings and positions of one unbroken sequence.

A chunk may consist of parts, such as its frames, each with text of its own before it; its latents
are spread evenly over them. Latents may be wider than the decoder: what is beyond its width is
added to their rows behind its first layers (DeepStack, arXiv:2406.04334). In a decoder that turns
by time, row and column, a part's latents stand at one time, and what follows stands beyond the
longer side of its grid (Qwen3-VL).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from engine import device as devices
from engine.models.layers.decoder import Decoder, KvBuffer, KvTrace
from engine.models.layers.rotary import RopeFactors

PREFILL_TOKENS = 1024
"""Prompt tokens a step; bounds the memory of a long question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Ids around recalled chunks."""

    before: Sequence[int]
    """Up to the first chunk."""
    labels: Sequence[Sequence[int]] = ()
    """Ids right before each part of each chunk; empty where a family writes nothing there."""
    parts: Sequence[int] = ()
    """Parts of each chunk; empty where each is a single one."""
    after: Sequence[int]
    """Behind the last chunk, with the opening of the answer."""

    def labels_of(self, n_chunks: int) -> list[list[Sequence[int]]]:
        """Return the labels of the parts of each chunk.

        Raises:
            ValueError: They are as many as of another number of chunks.
        """
        counts = list(self.parts) or [1] * n_chunks
        labels = list(self.labels) or [()] * sum(counts)
        if len(counts) != n_chunks or len(labels) != sum(counts):
            raise ValueError(
                f"a prompt with {len(labels)} labels of {len(counts)} chunks is not one around "
                f"{n_chunks}"
            )
        rest = iter(labels)
        return [[next(rest) for _ in range(count)] for count in counts]

    def split_at(self, n_chunks: int) -> "tuple[Prompt, Prompt]":
        """Return what stands up to the first chunks, and the rest without an opening."""
        counts = list(self.parts[:n_chunks]) or [1] * n_chunks
        n_parts = sum(counts)
        head = Prompt(
            before=self.before,
            labels=self.labels[:n_parts],
            parts=self.parts[:n_chunks],
            after=(),
        )
        rest = Prompt(
            before=(),
            labels=self.labels[n_parts:],
            parts=self.parts[n_chunks:],
            after=self.after,
        )
        return head, rest


class Positions:
    """Positions of a growing sequence, for a decoder that turns by one or by three.

    Args:
        start: Of the first token.
        is_grid: Whether time, row and column turn apart.
    """

    def __init__(self, start: int, *, is_grid: bool) -> None:
        self.start = self.next = start
        self.is_grid = is_grid
        self._pieces: list[Tensor] = []
        self._n = 0

    def text(self, n: int) -> None:
        """Go on by as many tokens."""
        if self.is_grid:
            self._pieces.append(torch.arange(self.next, self.next + n).expand(3, n))
        self.next += n
        self._n += n

    def grid(self, places: Int16[Tensor, "token 2"]) -> None:
        """Go on by a part whose tokens stand in rows and columns; by its longer side."""
        if not len(places):
            return
        row, column = places.cpu().long().t()
        time = torch.zeros_like(row)
        self._pieces.append(torch.stack((time, row, column)) + self.next)
        self.next += int(places.max()) + 1
        self._n += len(places)

    @property
    def shift(self) -> int:
        """Positions that the next token stands beyond the count of tokens."""
        return self.next - self.start - self._n

    def rope(self, decoder: Decoder) -> RopeFactors:
        """Compute the rotations of all tokens so far."""
        device = decoder.embed.weight.device
        if not self.is_grid:
            return decoder.rope(torch.arange(self.start, self.next, device=device))
        return decoder.grid_rope(devices.upload(torch.cat(self._pieces, 1), device))


@dataclass(frozen=True, slots=True)
class PromptRows:
    """A prompt up to its last chunk, ready to run."""

    rows: Float[Tensor, "token width"]
    """Embeddings; beyond the decoder's width what is added to them behind its first layers."""
    positions: Positions
    parts: list[list[range]]
    """Tokens of the parts of each chunk, labels left out."""


def lay_out(
    decoder: Decoder,
    prompt: Prompt,
    chunks: Sequence[Float[Tensor, "_latent _width"]],
    places: Sequence[Int16[Tensor, "_latent 2"] | None] = (),
) -> PromptRows:
    """Lay a prompt out up to its last chunk.

    Args:
        decoder: Whose embeddings these are.
        prompt: Around as many chunks.
        chunks: Their embeddings.
        places: Row and column of each latent, for a decoder that turns by them.
    """
    positions = Positions(0, is_grid=decoder.config.rope_sections is not None)
    before = embed_ids(decoder, prompt.before)
    width = chunks[0].shape[1] if chunks else before.shape[1]
    rows, n, parts = [_widened(before, width)], len(before), list[list[range]]()
    positions.text(n)
    grids = places or [None] * len(chunks)
    for chunk, grid, labels in zip(chunks, grids, prompt.labels_of(len(chunks)), strict=True):
        parts.append([])
        for part, label in zip(split_parts(len(chunk), len(labels)), labels, strict=True):
            positions.text(len(label))
            own = slice(part.start, part.stop)
            if grid is None:
                positions.text(len(part))
            else:
                positions.grid(grid[own])
            start = n + len(label)
            n = start + len(part)
            rows += [_widened(embed_ids(decoder, label), width), chunk[own].to(rows[0])]
            parts[-1].append(range(start, n))
        # The chunk may leave its tier before it has been read.
        devices.hold(chunk)
    return PromptRows(torch.cat(rows), positions, parts)


def prefill(
    decoder: Decoder,
    rows: Float[Tensor, "batch token width"],
    buffer: KvBuffer,
    positions: Positions,
    *,
    kv_trace: KvTrace | None = None,
) -> None:
    """Run rows behind a KV cache in bounded steps; with a trace in one."""
    width, step = decoder.config.width, rows.shape[1] if kv_trace else PREFILL_TOKENS
    is_plain = rows.shape[2] == width and not positions.is_grid
    rope = None if is_plain else positions.rope(decoder)
    for start in range(0, rows.shape[1], max(1, step)):
        part = rows[:, start : start + step]
        own, *added = torch.split(part, width, dim=2)
        decoder.extend(
            own,
            buffer,
            rope=None if rope is None else rope.slice(start, start + part.shape[1]),
            added=added,
            kv_trace=kv_trace,
        )
    buffer.shift += positions.shift


def split_parts(n_latents: int, n_parts: int) -> list[range]:
    """Spread the latents of a chunk evenly over its parts.

    Raises:
        ValueError: They do not go into so many parts.
    """
    if n_parts < 1 or n_latents % n_parts:
        raise ValueError(f"{n_latents} latents do not go into {n_parts} equal parts")
    size = n_latents // n_parts
    return [range(start, start + size) for start in range(0, n_latents, max(1, size))][:n_parts]


def embed_ids(decoder: Decoder, ids: Sequence[int]) -> Float[Tensor, "token width"]:
    """Embed ids on the decoder's device; there may be none."""
    device = decoder.embed.weight.device
    rows: Tensor = decoder.embed(devices.upload(torch.tensor(list(ids), dtype=torch.int64), device))
    return rows


def _widened(rows: Tensor, width: int) -> Tensor:
    """Return rows of text to which nothing is added behind any layer."""
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))
