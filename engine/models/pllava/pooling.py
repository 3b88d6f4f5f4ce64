"""Adaptive average pooling of a clip's tokens over frame, row and column; no parameters.

Source: arXiv:2404.16994 section 3.3 (its "adaptive average structure pooling").
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def pool_clip(
    tokens: Float[Tensor, "frame patch width"],
    grid: tuple[int, int],
    target: tuple[int, int, int],
) -> Float[Tensor, "latent width"]:
    """Average the tokens of one clip into a volume of `target` size.

    Output `i` of an axis covers inputs `floor(i*in/out)` to `ceil((i+1)*in/out)`, so the target
    need not divide the input and may even be larger.

    Args:
        tokens: Patches row by row.
        grid: Rows and columns of a frame.
        target: Frames, rows and columns of the result.
    Returns:
        Frame slowest, then row, then column.
    """
    rows, cols = grid
    if rows * cols != tokens.shape[1]:
        raise ValueError(f"{tokens.shape[1]} patches are no {rows} x {cols} grid")
    # frame (row col) width -> width frame row col
    volume = tokens.permute(2, 0, 1).reshape(-1, tokens.shape[0], rows, cols)
    pooled = F.adaptive_avg_pool3d(volume, target)
    return pooled.flatten(1).transpose(0, 1).contiguous()


def repeat_short(
    tokens: Float[Tensor, "frame patch width"], n_frames: int
) -> Float[Tensor, "n_frames patch width"]:
    """Fill a clip of too few frames to `n_frames`, each frame repeated in its place.

    Three frames for eight become 0 0 0 1 1 1 2 2: every frame `int(n_frames / have) + 1` times,
    then cut.
    """
    have = tokens.shape[0]
    if not have:
        raise ValueError("a clip needs at least one frame")
    if have >= n_frames:
        return tokens[:n_frames]
    return torch.repeat_interleave(tokens, n_frames // have + 1, dim=0)[:n_frames]
