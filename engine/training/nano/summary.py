"""Summary supervision: linear heads that must name, from a VST's row, what its own frames show.

Without it facts reach the VSTs only through the answers to questions, and a small model does not
start to learn (measured in the feasibility study). The heads are thrown away at export.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from engine.synthetic.palette import SHAPES
from engine.synthetic.scene import LIGHTS, PLACES
from engine.training.nano.captions import CARD, COLOUR_NAMES, KIND_NAMES
from engine.training.nano.chunks import Chunk, Facts, frame_facts
from engine.training.nano.frame_bank import CHUNK_FRAMES

FRAME_TOKENS: Final = 4
"""Visual tokens of a frame after pooling: a grid of 2x2."""
CHUNK_TOKENS: Final = CHUNK_FRAMES * FRAME_TOKENS

SUMMARY_CLASSES: Final = (
    2, len(COLOUR_NAMES), len(SHAPES), 10, 10,
    len(KIND_NAMES), len(COLOUR_NAMES), 2, len(PLACES), len(LIGHTS),
)  # fmt: skip
"""Classes of each head: card or none, its colour, shape and two digits; actor or none, its colour
and direction; place, light."""
DIRECTION: Final = 7
"""The head that names an actor's direction."""


class SummaryHeads(nn.Module):
    """Linear heads on VST rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Linear(width, sum(SUMMARY_CLASSES))

    def forward(self, rows: Float[Tensor, "*batch width"]) -> list[Tensor]:
        """Return one tensor of logits for each of `SUMMARY_CLASSES`."""
        return list(self.heads(self.norm(rows)).split(list(SUMMARY_CLASSES), -1))


def shown_frames(frame_every: int) -> Int64[np.ndarray, " frame"]:
    """Return which frame of its chunk each one shows where one in `frame_every` is sampled.

    A sampled frame stands for those up to the next, so that a chunk keeps its length and tokens.
    """
    return np.arange(CHUNK_FRAMES) // frame_every * frame_every


def summary_labels(
    chunks: Sequence[Chunk], facts: Facts, ratio: int, *, frame_every: int = 1
) -> Int64[Tensor, "chunk vst fact"]:
    """Return what each VST must name of the frames that end with it, -1 where nothing is known."""
    shown = shown_frames(frame_every)
    n_vst = CHUNK_TOKENS // ratio
    labels = np.full((len(chunks), n_vst, len(SUMMARY_CLASSES)), -1, dtype=np.int64)
    for idx, chunk in enumerate(chunks):
        rows = frame_facts(chunk, facts)[shown]
        for vst in range(n_vst):
            start, end = vst * ratio, (vst + 1) * ratio
            own = [at for at in range(CHUNK_FRAMES) if start < FRAME_TOKENS * (at + 1) <= end]
            if own:
                _label(labels[idx, vst], rows[own])
    return torch.from_numpy(labels)


def summary_loss(
    logits: Sequence[Tensor], labels: Int64[Tensor, "chunk vst fact"]
) -> Float[Tensor, ""]:
    """Return the sum of the heads' cross-entropies, each a mean over what is known."""
    losses = [
        F.cross_entropy(head.float().flatten(0, 1), labels[..., fact].flatten(), ignore_index=-1)
        for fact, head in enumerate(logits)
        if (labels[..., fact] >= 0).any()
    ]
    return torch.stack(losses).sum()


def _label(label: np.ndarray, rows: np.ndarray) -> None:
    """Fill in the label of one VST from the facts of its frames; later frames win."""
    label[0], label[5] = 0, CARD  # No card; and `CARD` stands for no actor.
    for row in rows:
        if row[0] == CARD:
            label[0], label[1:5] = 1, row[1:5]
            continue
        if row[0] >= 0:
            label[5:8] = row[0], row[1], row[5]
        if row[6] >= 0:
            label[8:10] = row[6:8]
