"""Kinds of samples: which a sample is, in which shares they are drawn, and the drawing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import numpy as np

from engine.errors import InputRefusedError
from engine.training.data.media import PICTURES, SOUNDS
from engine.training.data.samples import Sample
from engine.training.finetune.stage_config import Kind, StageConfig


def kind_of(sample: Sample) -> Kind:
    """Return what a sample shows, told by the endings of its files."""
    endings = {path.suffix.lower() for path in sample.media}
    if not endings:
        return "text"
    if endings <= PICTURES:
        return "image" if len(sample.media) == 1 else "multi_image"
    return "audio" if endings <= SOUNDS else "video"


def group_by_kind(
    samples: Sequence[Sample], kind: Callable[[Sample], Kind]
) -> dict[Kind, list[Sample]]:
    """Group samples by what they show, in the order of the data."""
    groups: dict[Kind, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(kind(sample), []).append(sample)
    return groups


def kind_shares(by_kind: Mapping[Kind, Sequence[Sample]]) -> dict[Kind, float]:
    """Return the share of each kind when samples are drawn by their weights."""
    sums = {kind: sum(sample.weight for sample in samples) for kind, samples in by_kind.items()}
    return {kind: weight / sum(sums.values()) for kind, weight in sums.items()}


def mixture_for(
    stage: StageConfig, by_kind: Mapping[Kind, Sequence[Sample]], data: str
) -> dict[Kind, float]:
    """Return the stage's mixture as far as the data have its kinds; theirs where it states none.

    Args:
        stage: What is trained.
        by_kind: The data.
        data: What to call them in a message.
    Raises:
        InputRefusedError: They have none of them.
    """
    if not stage.mixture:
        return kind_shares(by_kind)
    try:
        return fit_mixture(stage.mixture, frozenset(by_kind))
    except ValueError as error:
        raise InputRefusedError(f"{data} does not suit {stage.name!r}: {error}") from error


def fit_mixture(mixture: Mapping[Kind, float], held: frozenset[Kind]) -> dict[Kind, float]:
    """Fit a mixture to data that lack some of its kinds: text keeps its share, the rest fills up.

    Raises:
        ValueError: The data hold none of its kinds.
    """
    kept = {kind: share for kind, share in mixture.items() if kind in held and share > 0}
    if not kept:
        needed = ", ".join(mixture)
        raise ValueError(f"the data must hold {needed}, not only {', '.join(sorted(held))}")
    # Of text both more and less than its share hurt (`apollo.check_mixture`).
    fixed = kept.get("text", 0.0) if len(kept) > 1 else 0.0
    others = {kind: share for kind, share in kept.items() if not fixed or kind != "text"}
    total = sum(others.values())
    fitted = {kind: share * (1 - fixed) / total for kind, share in others.items()}
    return {kind: fitted.get(kind, fixed) for kind in kept}


def draw_kinds(mixture: Mapping[Kind, float], n: int, *, seed: tuple[int, ...]) -> list[Kind]:
    """Draw the kinds of `n` samples in the shares of a mixture; the same for the same seed."""
    random = np.random.default_rng(seed)
    kinds = list(mixture)
    return [kinds[idx] for idx in random.choice(len(kinds), size=n, p=list(mixture.values()))]


class WeightedSamples:
    """Samples to draw from, each as often as its weight says."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self._ends = np.array(list(accumulate(sample.weight for sample in samples)))

    def draw(self, random: np.random.Generator) -> Sample:
        """Draw one sample."""
        idx = np.searchsorted(self._ends, random.random() * self._ends[-1], side="right")
        return self.samples[min(int(idx), len(self.samples) - 1)]
