"""Token ids with their labels, written from front to back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor

from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID


@dataclass(slots=True)
class LabelledIds:
    """A text of which some tokens are learnt and the others only read."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    """The id where it is learnt, `IGNORED_LABEL` elsewhere; the loss shifts them."""

    def add_context(self, ids: Sequence[int]) -> None:
        """Append tokens that are read, not learnt."""
        self.ids += ids
        self.labels += [IGNORED_LABEL] * len(ids)

    def add_target(self, ids: Sequence[int]) -> None:
        """Append tokens to learn."""
        self.ids += ids
        self.labels += ids

    def add_visual(self, n_tokens: int) -> None:
        """Append placeholders for visual tokens."""
        self.add_context([PLACEHOLDER_ID] * n_tokens)

    def extend(self, other: "LabelledIds", max_tokens: int) -> None:
        """Append at most the first `max_tokens` of another text."""
        self.ids += other.ids[:max_tokens]
        self.labels += other.labels[:max_tokens]

    def tensors(self) -> tuple[Int64[Tensor, " token"], Int64[Tensor, " token"]]:
        """Return ids and labels."""
        return torch.tensor(self.ids), torch.tensor(self.labels)
