"""Stages of training as data: which parts learn, how fast, and from what mixture of samples."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

Kind = Literal["text", "image", "multi_image", "video", "audio", "audio_video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """A stage, as a paper's table states it."""

    name: str
    rates: Mapping[str, float]
    """Peak learning rate by the prefix of parameter names; all others are frozen."""
    mixture: Mapping[Kind, float]
    """Share of each kind of sample; together 1. Empty: as the data and their weights have it."""
    max_clips: int = 1
    """Most clips of one sample; a longer video gives that many, evenly spread."""
    batch: int = 256
    """Samples a step in the paper; what fits a machine is set by who runs it."""
    epochs: int = 1
    warmup_share: float = 0.03
    """Of all steps, before the rate falls as a cosine."""
    final_share: float = 0.0
    """Rate at the end, as a share of its peak."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_gradient_norm: float = 1.0
    gradient_checkpointing: bool = False
    """Whether the decoder's layers are computed again in the backward pass, to save memory."""

    def __post_init__(self) -> None:
        total = sum(self.mixture.values())
        if self.mixture and not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"mixture of {self.name!r} must sum to 1, not {total:g}")
        if not self.rates:
            raise ValueError(f"rates of {self.name!r} must name at least one part to train")

    def trains(self, part: str) -> bool:
        """Say whether any parameter below a part's name learns."""
        return any(prefix.startswith(part) or part.startswith(prefix) for prefix in self.rates)

    @property
    def learning_rate(self) -> float:
        """The highest peak; the other parts learn at a share of it."""
        return max(self.rates.values())


def select_parts(net: nn.Module, stage: StageConfig) -> tuple[nn.ModuleDict, dict[str, float]]:
    """Freeze what a stage does not train, and select the parts that it does.

    Returns:
        The parts that learn, and their shares of the highest rate by prefix of their names.
    Raises:
        ValueError: A rate names a part that the net does not have.
    """
    net.requires_grad_(False)
    parts, lr_shares = nn.ModuleDict(), {}
    for prefix, rate in stage.rates.items():
        try:
            part = net.get_submodule(prefix.removesuffix("."))
        except AttributeError as error:
            raise ValueError(
                f"rates of {stage.name!r} name {prefix!r}, which the net does not have"
            ) from error
        part.requires_grad_(True)
        name = prefix.removesuffix(".").replace(".", "_")
        parts[name] = part
        lr_shares[f"{name}."] = rate / stage.learning_rate
    return parts, lr_shares
