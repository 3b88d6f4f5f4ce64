"""Stages of training: which parts learn, how fast, and from what mixture of samples.

A stage is data; the functions here turn it into frozen parameters, learning rates and a seeded
order of sample kinds. Families state their stages beside their recipes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Kind = Literal["text", "image", "multi_image", "video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage, as a paper's table states it."""

    name: str
    rates: Mapping[str, float]
    """Peak learning rate by the prefix of parameter names; all others are frozen."""
    mixture: Mapping[Kind, float]
    """Share of each kind of sample; together 1."""
    max_clips: int
    """Most clips of one sample; a longer video gives so many, evenly spread."""
    batch: int = 256
    epochs: int = 1
    warmup_share: float = 0.03
    """Of all steps, before the rate falls as a cosine to 0."""
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        total = sum(self.mixture.values())
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"mixture of {self.name!r} must sum to 1, not {total:g}")
        if not self.rates:
            raise ValueError(f"rates of {self.name!r} must name at least one part to train")

    def trains(self, part: str) -> bool:
        """Whether any parameter below a part's name learns."""
        return any(each.startswith(part) or part.startswith(each) for each in self.rates)


def prepare(net: nn.Module, stage: Stage) -> list[dict[str, Any]]:
    """Freeze what a stage does not train.

    Returns:
        One group for an optimiser for each part that learns, with its peak rate.
    Raises:
        ValueError: A rate names a part that the net does not have.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in stage.rates}
    for name, parameter in net.named_parameters():
        prefix = next((each for each in stage.rates if name.startswith(each)), None)
        parameter.requires_grad_(prefix is not None)
        if prefix is not None:
            groups[prefix].append(parameter)
    empty = [prefix for prefix, parameters in groups.items() if not parameters]
    if empty:
        raise ValueError(f"rates of {stage.name!r} name {empty[0]!r}, which the net does not have")
    return [{"params": groups[prefix], "lr": rate} for prefix, rate in stage.rates.items()]


def draw_kinds(stage: Stage, *, seed: int) -> Iterator[Kind]:
    """Kinds of samples without end, in the shares of the mixture; the same for the same seed."""
    random = torch.Generator().manual_seed(seed)
    kinds, shares = list(stage.mixture), torch.tensor(list(stage.mixture.values()))
    while True:
        yield kinds[int(torch.multinomial(shares, 1, generator=random))]


def rate_at(step: int, n_steps: int, stage: Stage) -> float:
    """Share of the peak rate at a step: a straight warm-up, then half a cosine down to 0."""
    n_warm = math.ceil(n_steps * stage.warmup_share)
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))
