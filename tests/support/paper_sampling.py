"""Sampling rules of the papers: frames and sound that their evaluations feed, ratios they train at.

Ingest never uses these rules (it samples by time and covers everything); the parity cases pin
them down.
"""

from collections.abc import Sequence
from math import floor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

AUDIO_WINDOWS = 8
AUDIO_WINDOW_S = 2.0


def pllava_frames(
    last: int,
    fps: float,
    n_frames: int,
    *,
    bound_s: tuple[float, float] | None = None,
    first: int = 0,
) -> list[int]:
    """PLLaVA's benchmark rule: the middle of each of `n_frames` equal stretches.

    Args:
        last: Index of the last frame.
        fps: Frames a second, for the bound.
        n_frames: How many are wanted; a short video repeats some.
        bound_s: Only this stretch of the video.
        first: Index of the first frame; folders of numbered pictures start at 1.
    """
    start, end = first, last
    if bound_s is not None:
        start = max(first, round(bound_s[0] * fps))
        end = min(round(bound_s[1] * fps), last)
    stretch = (end - start) / n_frames
    return [int(start + stretch / 2 + round(stretch * idx)) for idx in range(n_frames)]


def pllava_demo_frames(available: int, n_frames: int) -> list[int]:
    """PLLaVA's chat rule; it rounds the half stretch by itself.

    Args:
        available: Frames of the video.
        n_frames: How many are wanted.
    """
    stretch = (available - 1) / n_frames
    return [int(stretch / 2) + round(stretch * idx) for idx in range(n_frames)]


def videollama2_frames(available: int, n_frames: int) -> list[int]:
    """VideoLLaMA 2's uniform rule; half positions round to even, short videos repeat frames."""
    stretch = (available - 1) / n_frames
    return [round(stretch * idx + stretch / 2 + 1e-6) for idx in range(n_frames)]


def videollama2_frames_by_second(available: int, fps: float) -> list[int]:
    """VideoLLaMA 2's rule without a frame count: one frame a second, in the middle of each."""
    step = min(floor(fps), available)
    return list(range(step // 2, available, step))


def videollama2_audio_windows(
    duration_s: float, *, n_windows: int = AUDIO_WINDOWS, window_s: float = AUDIO_WINDOW_S
) -> list[tuple[float, float]]:
    """The stretches of a track that VideoLLaMA 2's evaluation hears, in seconds.

    Eight windows of two seconds at even distances; they overlap in tracks under 18 s, repeat the
    track when it is shorter than two, and never reach its end.
    """
    room_s = max(duration_s - window_s, 0.0)
    starts = (idx * room_s / n_windows for idx in range(n_windows))
    return [(start_s, start_s + window_s) for start_s in starts]


def pllava_fill_clip(
    tokens: Float[Tensor, "frame patch width"], n_frames: int
) -> Float[Tensor, "n_frames patch width"]:
    """Fill a clip of too few frames as PLLaVA does, each frame repeated in its place.

    Three frames for eight become 0 0 0 1 1 1 2 2: every frame `int(n_frames / given) + 1` times,
    then cut. A longer clip loses its end.
    """
    given = tokens.shape[0]
    if given >= n_frames:
        return tokens[:n_frames]
    return torch.repeat_interleave(tokens, n_frames // given + 1, dim=0)[:n_frames]


def video_xl_ratios(ratios: Sequence[int], chunks: Sequence[int], *, seed: int) -> tuple[int, ...]:
    """Draw a ratio for each chunk among those that divide it: Video-XL's training policy.

    Args:
        ratios: Allowed ones.
        chunks: Visual tokens of each chunk.
        seed: 42 and a fresh generator repeat upstream's stream.
    Raises:
        ValueError: None divides a chunk.
    """
    random, drawn = np.random.default_rng(seed), list[int]()
    for n in chunks:
        fitting = [ratio for ratio in ratios if 0 < ratio <= n and n % ratio == 0]
        if not fitting:
            raise ValueError(f"no ratio of {list(ratios)} divides a chunk of {n} tokens")
        drawn.append(fitting[int(random.integers(0, len(fitting)))])
    return tuple(drawn)
