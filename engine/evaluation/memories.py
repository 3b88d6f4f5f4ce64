"""Ways to remember a long stream in the same bytes: summaries of all of it, or parts in full.

A token that is kept costs its embedding and its keys and values, so M bytes hold
B = M / (d s_emb + 2 L h_kv s_kv) tokens, with width d, L layers, h_kv the width of keys, and the
bytes s of a number. Where keys and values are all that is kept, as here, the first term is zero.
Source: StreamingEval (arXiv:2603.21493).

Every way is folded by the same model: the others keep what they keep at its least ratio, where it
loses least. An untrained reader of raw keys and values would flatter the summaries.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch

from engine.pipeline.encode import EncodedChunk
from engine.records import ModelCard, TimeSpan
from engine.tensors import VisualTokens

Memory = Literal["summary", "uniform", "recent", "pooled", "full"]
"""Summary tokens of everything; one frame in so many; the newest frames; frames averaged in time;
everything at the least ratio, which is the ceiling and costs more bytes."""
MEMORIES: Final[tuple[Memory, ...]] = get_args(Memory)
LEAST_RATIO: Final = 2
"""Visual tokens per latent where nothing is to be saved: the least that models here were trained
at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """The part of a stream that a memory keeps."""

    memory: Memory
    ratio: int
    """Visual tokens per latent."""
    keep_every: int
    """Frames of the stream for each that is kept or averaged."""
    first_frame: int
    """Frames before it are not kept."""
    kept_bytes: int


def latents_within(card: ModelCard, budget_bytes: int) -> int:
    """Return how many latents a budget holds: B of the formula above."""
    return budget_bytes // card.latent_bytes


def plan_memory(
    memory: Memory, card: ModelCard, n_frames: int, *, ratio: int, least_ratio: int = LEAST_RATIO
) -> MemoryPlan:
    """Return what a memory keeps in the bytes that the summary of a stream takes.

    Raises:
        ValueError: The family's connector fixes its latents, or the ratio leaves nothing to save.
    """
    if card.fixed_latents is not None:
        raise ValueError(f"the latents of {card.family} are fixed: there is no ratio to compare")
    if ratio % least_ratio or ratio <= least_ratio:
        raise ValueError(f"ratio must be a multiple of {least_ratio} above it, not {ratio}")
    budget_bytes = _bytes_of(card, n_frames, ratio)
    # As many frames as the budget holds at the least ratio.
    n_kept = latents_within(card, budget_bytes) * least_ratio // card.tokens_per_frame
    keep_every = -(-n_frames // max(1, n_kept))
    match memory:
        case "summary":
            kept, used_ratio, every, first = n_frames, ratio, 1, 0
        case "full":
            kept, used_ratio, every, first = n_frames, least_ratio, 1, 0
        case "recent":
            # Whole chunks, so that the last is cut as the others are.
            first = -(-(n_frames - n_kept) // card.chunk_frames) * card.chunk_frames
            kept, used_ratio, every = n_frames - first, least_ratio, 1
        case _:
            kept, used_ratio, every, first = -(-n_frames // keep_every), least_ratio, keep_every, 0
    return MemoryPlan(
        memory=memory,
        ratio=used_ratio,
        keep_every=every,
        first_frame=first,
        kept_bytes=_bytes_of(card, kept, used_ratio),
    )


def remembered(
    plan: MemoryPlan, frames: Iterable[VisualTokens], fps: float
) -> Iterator[EncodedChunk]:
    """Yield the chunks that a memory folds.

    Args:
        frames: The stream in blocks of `block_frames`, from `plan.first_frame` on.
        fps: Frames of the stream a second of its time.
    """
    for block in frames:
        end_s = float(block.pts_s[-1]) + 1 / fps
        yield EncodedChunk(
            tokens=_pooled(block, plan.keep_every)
            if plan.memory == "pooled"
            else _thinned(block, plan.keep_every),
            # A frame that stands for others stands for their time too.
            span=TimeSpan(start_s=float(block.pts_s[0]), end_s=end_s),
            activity=0.0,
        )


def block_frames(plan: MemoryPlan, card: ModelCard) -> int:
    """Return how many frames of the stream make up a chunk."""
    return plan.keep_every * card.chunk_frames


def _bytes_of(card: ModelCard, n_frames: int, ratio: int) -> int:
    """Return the bytes of so many frames: whole chunks, and what is left, rounded up."""
    whole, left = divmod(n_frames, card.chunk_frames)
    n_latents = whole * card.latents_at(ratio) + -(-left * card.tokens_per_frame // ratio)
    return n_latents * card.latent_bytes


def _thinned(block: VisualTokens, every: int) -> VisualTokens:
    # Chosen by index and not as a slice: a slice of one frame keeps the step of many.
    kept = torch.arange(0, len(block.pts_s), every)
    return VisualTokens(
        embeddings=block.embeddings[kept],
        frame_vectors=block.frame_vectors[kept],
        pts_s=block.pts_s[kept],
    )


def _pooled(block: VisualTokens, every: int) -> VisualTokens:
    starts = range(0, len(block.pts_s), every)
    vectors = [block.frame_vectors[start : start + every].mean(dim=0) for start in starts]
    return VisualTokens(
        embeddings=torch.stack(
            [block.embeddings[start : start + every].mean(dim=0) for start in starts]
        ),
        frame_vectors=torch.nn.functional.normalize(torch.stack(vectors), dim=-1),
        pts_s=block.pts_s[torch.tensor(starts)],
    )
