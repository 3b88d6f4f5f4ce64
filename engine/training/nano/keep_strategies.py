"""Strategies for what is kept of a chunk: VSTs, pooled tokens, sampled frames, or everything.

A strategy says which rows stay and what they must name. Rows that are no VSTs run through the
decoder plainly, behind the same sink and the same past, and their keys and values are kept, so
that strategies differ in nothing but what is kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from engine.models.layers.decoder import Decoder
from engine.training.nano.batched_compression import (
    CompressedVideos,
    LayerKv,
    compress_chunks,
    keep_whole_chunks,
)
from engine.training.nano.chunks import Chunk, Facts
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.summary import CHUNK_TOKENS, FRAME_TOKENS, summary_labels

Videos = Float[Tensor, "video chunk token width"]
Labels = Int64[Tensor, "chunk row fact"]


class KeepStrategy(ABC):
    """One way to keep a chunk."""

    title: ClassVar[str]
    frame_every: int = 1
    """One frame in so many is sampled, and shown until the next."""

    @abstractmethod
    def keep(
        self, decoder: Decoder, tokens: Videos, sink: LayerKv, ratio: int, past: int
    ) -> CompressedVideos:
        """Return what stays at `ratio` visual tokens a row; chunks look back on `past` others."""

    @abstractmethod
    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """Return what each row that stays must name, -1 where nothing is known."""

    def chunks_kept(self, ratio: int) -> slice:
        """Say which chunks of a video leave anything at all."""
        return slice(None)

    def rows_per_frame(self, ratio: int) -> float:
        """Return how many rows are kept of a frame."""
        return FRAME_TOKENS / ratio


class KeepVsts(KeepStrategy):
    """Summary tokens, as nano keeps them."""

    title = "VST"

    def __init__(self, frame_every: int = 1) -> None:
        self.frame_every = frame_every

    def keep(
        self, decoder: Decoder, tokens: Videos, sink: LayerKv, ratio: int, past: int
    ) -> CompressedVideos:
        """Return the VSTs."""
        ratios = [ratio] * tokens.shape[1]
        return compress_chunks(decoder, tokens, sink, ratios, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """Return what the frames show that end with each VST."""
        return summary_labels(chunks, facts, ratio, frame_every=self.frame_every)


class KeepPooled(KeepStrategy):
    """Average pooling over the projected tokens (PLLaVA, arXiv:2404.16994).

    Rows and columns are pooled before frames, which is what that paper found to cost least; a row
    then stands for the same tokens that a VST of that ratio summarises.
    """

    title = "average pooling"

    def keep(
        self, decoder: Decoder, tokens: Videos, sink: LayerKv, ratio: int, past: int
    ) -> CompressedVideos:
        """Return the pooled rows."""
        return keep_whole_chunks(decoder, pool(tokens, ratio), sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """Return the labels of the VST that would stand for the same tokens."""
        return summary_labels(chunks, facts, ratio)


class KeepSampledFrames(KeepStrategy):
    """Whole frames, evenly over the video; the others are never seen."""

    title = "uniform sampling"

    def keep(
        self, decoder: Decoder, tokens: Videos, sink: LayerKv, ratio: int, past: int
    ) -> CompressedVideos:
        """Return all tokens of the sampled frames."""
        sampled = tokens[:, :, sampled_tokens(ratio)]
        return keep_whole_chunks(decoder, sampled, sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """Return labels with which the last token of a frame names what the frame shows."""
        return summary_labels(chunks, facts, 1)[:, sampled_tokens(ratio)]

    def chunks_kept(self, ratio: int) -> slice:
        """Keep all chunks down to one frame a chunk; beyond that every second, fourth, ... one."""
        every = max(1, ratio // CHUNK_FRAMES)
        return slice(every // 2, None, every)


class KeepEverything(KeepStrategy):
    """No compression: every visual token stays."""

    title = "no compression"

    def keep(
        self, decoder: Decoder, tokens: Videos, sink: LayerKv, ratio: int, past: int
    ) -> CompressedVideos:
        """Return all tokens, whatever the ratio."""
        return keep_whole_chunks(decoder, tokens, sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """Return labels with which the last token of a frame names what the frame shows."""
        return summary_labels(chunks, facts, 1)

    def rows_per_frame(self, ratio: int) -> float:
        """Return every token, whatever the ratio."""
        return float(FRAME_TOKENS)


KEEP_STRATEGIES: Final[Mapping[str, KeepStrategy]] = MappingProxyType(
    {
        "vst": KeepVsts(),
        "pool": KeepPooled(),
        "uniform": KeepSampledFrames(),
        "whole": KeepEverything(),
    }
)
"""By the names of the variants: folders of a run and keys of its report."""


def pool(tokens: Videos, ratio: int) -> Float[Tensor, "video chunk row width"]:
    """Pool adaptively to `token / ratio` rows by averages: columns, then rows, then frames."""
    n_videos, n_chunks, n_tokens, width = tokens.shape
    across = {1: (2, 2), 2: (2, 1)}.get(ratio, (1, 1))
    target = (CHUNK_FRAMES // max(1, ratio // FRAME_TOKENS), *across)
    # video chunk (frame 2 2) width -> video*chunk width frame 2 2
    grid = tokens.flatten(0, 1).transpose(1, 2).reshape(-1, width, CHUNK_FRAMES, 2, 2)
    pooled = F.adaptive_avg_pool3d(grid, target).flatten(2).transpose(1, 2)
    return pooled.reshape(n_videos, n_chunks, n_tokens // ratio, width)


def sampled_tokens(ratio: int) -> Int64[Tensor, " token"]:
    """Return which tokens of a chunk belong to its sampled frames: the middles of equal parts.

    At least one frame a chunk, also at ratios above 8, where whole chunks are left out instead.
    """
    n_frames = max(1, CHUNK_TOKENS // ratio // FRAME_TOKENS)
    frames = ((torch.arange(n_frames) + 0.5) * CHUNK_FRAMES / n_frames).long()
    return (frames[:, None] * FRAME_TOKENS + torch.arange(FRAME_TOKENS)).flatten()
