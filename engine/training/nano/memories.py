"""What may be kept of a chunk: VSTs, pooled tokens, sampled frames, or everything.

A memory says which rows stay and what they must name. Rows that are no VSTs run through the
decoder plainly, behind the same sink and the same past, and their keys and values are kept, so
that memories differ in nothing but what is kept.
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
from engine.training.nano.batched_fold import Folded, Layers, fold_chunks, keep_chunks
from engine.training.nano.chunks import Chunk, Facts
from engine.training.nano.decoder_stage import CHUNK_TOKENS, FRAME_TOKENS, summary_labels
from engine.training.nano.frame_bank import CHUNK_FRAMES

Videos = Float[Tensor, "video chunk token width"]
Labels = Int64[Tensor, "chunk row fact"]


class KeepStrategy(ABC):
    """One way to keep a chunk."""

    title: ClassVar[str]

    @abstractmethod
    def keep(self, decoder: Decoder, tokens: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        """What stays at so many visual tokens a row; chunks look back on `past` others."""

    @abstractmethod
    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """What each row that stays must name, -1 where nothing is known."""

    def part(self, ratio: int) -> slice:
        """Which chunks of a video leave anything at all."""
        return slice(None)

    def budget(self, ratio: int) -> float:
        """Rows kept a frame."""
        return FRAME_TOKENS / ratio


class Vst(KeepStrategy):
    """Summary tokens, as nano keeps them."""

    title = "VST"

    def keep(self, decoder: Decoder, tokens: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        """The VSTs."""
        return fold_chunks(decoder, tokens, sink, [ratio] * tokens.shape[1], max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """What the frames show that end with each VST."""
        return summary_labels(chunks, facts, ratio)


class Pool(KeepStrategy):
    """Average pooling over the projected tokens (PLLaVA, arXiv:2404.16994).

    Rows and columns are pooled before frames, which is what that paper found to cost least; a row
    then stands for the same tokens that a VST of that ratio summarises.
    """

    title = "average pooling"

    def keep(self, decoder: Decoder, tokens: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        """The pooled rows."""
        return keep_chunks(decoder, pool(tokens, ratio), sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """As of the VST in its place."""
        return summary_labels(chunks, facts, ratio)


class Uniform(KeepStrategy):
    """Whole frames, evenly over the video; the others are never seen."""

    title = "uniform sampling"

    def keep(self, decoder: Decoder, tokens: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        """All tokens of the sampled frames."""
        return keep_chunks(decoder, tokens[:, :, sampled(ratio)], sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """The last token of a frame names what the frame shows."""
        return summary_labels(chunks, facts, 1)[:, sampled(ratio)]

    def part(self, ratio: int) -> slice:
        """All chunks up to one frame a chunk; beyond that every second, fourth, ... one."""
        every = max(1, ratio // CHUNK_FRAMES)
        return slice(every // 2, None, every)


class Whole(KeepStrategy):
    """No compression: every visual token stays."""

    title = "no compression"

    def keep(self, decoder: Decoder, tokens: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        """All tokens, whatever the ratio."""
        return keep_chunks(decoder, tokens, sink, max_past_chunks=past)

    def labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        """The last token of a frame names what the frame shows."""
        return summary_labels(chunks, facts, 1)

    def budget(self, ratio: int) -> float:
        """Every token, whatever the ratio."""
        return float(FRAME_TOKENS)


MEMORIES: Final[Mapping[str, KeepStrategy]] = MappingProxyType(
    {"vst": Vst(), "pool": Pool(), "uniform": Uniform(), "whole": Whole()}
)


def pool(tokens: Videos, ratio: int) -> Float[Tensor, "video chunk row width"]:
    """Adaptive average pooling to `token / ratio` rows: columns, then rows, then frames."""
    n_videos, n_chunks, n_tokens, width = tokens.shape
    across = {1: (2, 2), 2: (2, 1)}.get(ratio, (1, 1))
    target = (CHUNK_FRAMES // max(1, ratio // FRAME_TOKENS), *across)
    # video chunk (frame 2 2) width -> video*chunk width frame 2 2
    grid = tokens.flatten(0, 1).transpose(1, 2).reshape(-1, width, CHUNK_FRAMES, 2, 2)
    pooled = F.adaptive_avg_pool3d(grid, target).flatten(2).transpose(1, 2)
    return pooled.reshape(n_videos, n_chunks, n_tokens // ratio, width)


def sampled(ratio: int) -> Int64[Tensor, " token"]:
    """Which tokens of a chunk belong to its sampled frames: the middles of equal parts.

    Below one frame a chunk (ratio above 8) it is one all the same: who samples fewer leaves
    chunks out.
    """
    n_frames = max(1, CHUNK_TOKENS // ratio // FRAME_TOKENS)
    frames = ((torch.arange(n_frames) + 0.5) * CHUNK_FRAMES / n_frames).long()
    return (frames[:, None] * FRAME_TOKENS + torch.arange(FRAME_TOKENS)).flatten()
