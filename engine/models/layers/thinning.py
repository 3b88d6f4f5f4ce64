"""Training-free thinning: tokens of a frame are kept that differ from the frame before.

Decision: a token stays for how far its embedding lies from that of the same place one frame
earlier (in the first frame of a chunk, from the frame's mean), *because* static footage repeats
itself place by place; no weight is learnt. Every frame keeps as many, in their order. What that
does to answers is measured on one's own footage by a needle probe at the ratio in question; no
figure is claimed here.

Source: the idea of differential token dropping, TimeChat-Online, arXiv:2504.17343.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


def changed_most(
    tokens: Float[Tensor, "part token width"], n_kept: int
) -> Int64[Tensor, "part kept"]:
    """Choose the tokens of each part that differ most from the part before.

    Args:
        tokens: Of one chunk, part by part.
        n_kept: Of each part, from 1 to all of them.
    Returns:
        Indices among the tokens of each part, ascending; equal changes keep the earlier token.
    """
    n_parts, n_tokens, _ = tokens.shape
    if not 1 <= n_kept <= n_tokens:
        raise ValueError(f"n_kept must lie between 1 and {n_tokens}, not {n_kept}")
    if n_kept == n_tokens:
        return torch.arange(n_tokens, device=tokens.device).expand(n_parts, n_tokens)
    rows = tokens.float()
    before = torch.cat((rows[:1].mean(1, keepdim=True).expand_as(rows[:1]), rows[:-1]))
    # Rounded, so that of tokens which did not change noise picks none.
    change = (1 - F.cosine_similarity(rows, before, dim=-1)).round(decimals=4)
    order = change.argsort(dim=1, descending=True, stable=True)
    return order[:, :n_kept].sort(dim=1).values
