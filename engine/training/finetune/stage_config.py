"""Stages of training: which parts learn, how fast, and from what mixture of samples.

A stage is data; the functions here turn it into frozen parameters, shares of the learning rate
and the kinds of samples of every step. Families state their stages beside their recipes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

Kind = Literal["text", "image", "multi_image", "video", "audio", "audio_video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage, as a paper's table states it."""

    name: str
    rates: Mapping[str, float]
    """Peak learning rate by the prefix of parameter names; all others are frozen."""
    mixture: Mapping[Kind, float]
    """Share of each kind of sample; together 1. Empty: as the data and their weights have it."""
    max_clips: int = 1
    """Most clips of one sample; a longer video gives so many, evenly spread."""
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

    def __post_init__(self) -> None:
        total = sum(self.mixture.values())
        if self.mixture and not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"mixture of {self.name!r} must sum to 1, not {total:g}")
        if not self.rates:
            raise ValueError(f"rates of {self.name!r} must name at least one part to train")

    def trains(self, part: str) -> bool:
        """Whether any parameter below a part's name learns."""
        return any(each.startswith(part) or part.startswith(each) for each in self.rates)

    @property
    def learning_rate(self) -> float:
        """The highest peak; the other parts learn at a share of it."""
        return max(self.rates.values())


def prepare(net: nn.Module, stage: StageConfig) -> tuple[nn.ModuleDict, dict[str, float]]:
    """Freeze what a stage does not train.

    Returns:
        The parts that learn, and by prefix of their names the share of the highest rate.
    Raises:
        ValueError: A rate names a part that the net does not have.
    """
    net.requires_grad_(False)
    parts, shares = nn.ModuleDict(), {}
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
        shares[f"{name}."] = rate / stage.learning_rate
    return parts, shares


def draw_kinds(mixture: Mapping[Kind, float], n: int, *, seed: tuple[int, ...]) -> list[Kind]:
    """Kinds of `n` samples in the shares of a mixture; the same for the same seed."""
    random = np.random.default_rng(seed)
    kinds = list(mixture)
    return [kinds[idx] for idx in random.choice(len(kinds), size=n, p=list(mixture.values()))]


def fit_mixture(mixture: Mapping[Kind, float], held: frozenset[Kind]) -> dict[Kind, float]:
    """A mixture for data that lack some of its kinds: text keeps its share, the rest fills up.

    Raises:
        ValueError: The data hold none of its kinds.
    """
    kept = {kind: share for kind, share in mixture.items() if kind in held and share > 0}
    if not kept:
        wanted = ", ".join(mixture)
        raise ValueError(f"the data must hold {wanted}, not only {', '.join(sorted(held))}")
    fixed = kept.get("text", 0.0) if len(kept) > 1 else 0.0
    seen = {kind: share for kind, share in kept.items() if not fixed or kind != "text"}
    total = sum(seen.values())
    fitted = {kind: share * (1 - fixed) / total for kind, share in seen.items()}
    return {kind: fitted.get(kind, fixed) for kind in kept}
