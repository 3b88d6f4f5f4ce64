"""The result of a study: ranks of variants at each size, and decisions that hold between sizes.

Intervals are of 95 %. Each draw takes variants and held-out contexts with replacement, the same
contexts for all of them, because every variant answered the same questions.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float64, Int64

from engine.training.study.plan import DECISIONS, StudyPlan, StudyVariant, Value

Measure = Literal["likelihood", "right"]
MEASURES: Final[tuple[Measure, ...]] = ("likelihood", "right")
N_DRAWS: Final = 2000

Numbers = Float64[np.ndarray, "..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePair:
    """The likeness of variants' ranks at two sizes."""

    small: str
    large: str
    n_variants: int
    rank_correlation: Interval
    """Spearman's, of the variants' scores."""
    r_squared: float
    """Of a straight line from the scores of one to those of the other; Apollo's measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTransfer:
    """One decision, made at a size and taken over to the largest."""

    decision: str
    size: str
    chosen: Value
    """The best option at this size."""
    best: Value
    """The best at the largest."""
    agrees: float
    """Share of draws of contexts in which both choose alike."""
    cost: Interval
    """Score that the largest size loses by this size's choice; 0 where they agree."""


class Scores:
    """The held-out contexts of every variant of a study, as arrays.

    Args:
        plan: Of the study.
        records: By name of the variant; one that is missing at a size is left out at all.
    """

    def __init__(self, plan: StudyPlan, records: Mapping[str, Mapping[str, Any]]) -> None:
        self.sizes = tuple(plan.sizes)
        by_options: dict[str, dict[str, list[StudyVariant]]] = {}
        for variant in plan.variants():
            by_size = by_options.setdefault(variant.options, {})
            by_size.setdefault(variant.size, []).append(variant)
        complete = {
            options: by_size
            for options, by_size in by_options.items()
            if all(v.name in records for size in self.sizes for v in by_size[size])
        }
        self.options = tuple(complete)
        self.choices = [by_size[self.sizes[0]][0].choices for by_size in complete.values()]
        # Several seeds of a variant count as one with the mean of their sums.
        sums = [
            [
                np.mean([records[v.name]["contexts"] for v in by_size[size]], axis=0)
                for by_size in complete.values()
            ]
            for size in self.sizes
        ]
        self._sums = np.array(sums, dtype=np.float64)
        """size variant context (n, right, tokens, loss)"""

    @property
    def n_contexts(self) -> int:
        """Held-out contexts of each variant."""
        return int(self._sums.shape[2]) if self.options else 0

    def of(self, measure: Measure, contexts: Int64[np.ndarray, " draw"] | None = None) -> Numbers:
        """Return the score of every variant at every size, over some contexts or all."""
        sums = (self._sums if contexts is None else self._sums[:, :, contexts]).sum(2)
        if measure == "right":
            return np.asarray(sums[..., 1] / sums[..., 0])
        return np.asarray(np.exp(-sums[..., 3] / sums[..., 2]))


def size_pairs(scores: Scores, measure: Measure, *, n_draws: int = N_DRAWS) -> list[SizePair]:
    """Compare the ranks of variants at every two sizes; nothing without a complete variant."""
    n_variants = len(scores.options)
    if not n_variants:
        return []
    whole = scores.of(measure)
    rng, draws = np.random.default_rng(n_draws), list[Numbers]()
    for _ in range(n_draws):
        contexts = rng.integers(scores.n_contexts, size=scores.n_contexts)
        draws.append(scores.of(measure, contexts)[:, rng.integers(n_variants, size=n_variants)])
    pairs = []
    for small, large in itertools.combinations(range(len(scores.sizes)), 2):
        drawn = np.array([rank_correlation(draw[small], draw[large]) for draw in draws])
        value = rank_correlation(whole[small], whole[large])
        pairs.append(
            SizePair(
                small=scores.sizes[small],
                large=scores.sizes[large],
                n_variants=n_variants,
                rank_correlation=_interval(value, drawn[np.isfinite(drawn)]),
                r_squared=_pearson(whole[small], whole[large]) ** 2,
            )
        )
    return pairs


def decision_transfers(
    scores: Scores, measure: Measure, *, n_draws: int = N_DRAWS
) -> list[DecisionTransfer]:
    """Say of every decision with several options what each smaller size would choose."""
    if not scores.options:
        return []
    rng = np.random.default_rng(n_draws)
    draws = [
        scores.of(measure, rng.integers(scores.n_contexts, size=scores.n_contexts))
        for _ in range(n_draws)
    ]
    transfers = []
    for decision in DECISIONS:
        groups = comparable(scores.choices, decision)
        if not groups:
            continue
        options = list(groups[0])
        # draw size option, the whole first: means over variants that differ in this alone.
        means = np.stack([_means(draw, groups, options) for draw in [scores.of(measure), *draws]])
        best = means.argmax(-1)
        for number, size in enumerate(scores.sizes[:-1]):
            chosen, largest = int(best[0, number]), int(best[0, -1])
            costs = means[:, -1].max(-1) - means[:, -1, chosen]
            transfers.append(
                DecisionTransfer(
                    decision=decision,
                    size=size,
                    chosen=options[chosen],
                    best=options[largest],
                    agrees=float((best[1:, number] == best[1:, -1]).mean()),
                    cost=_interval(float(costs[0]), costs[1:]),
                )
            )
    return transfers


def comparable(choices: Sequence[Mapping[str, Value]], decision: str) -> list[dict[Value, int]]:
    """Return groups of variants that differ in one decision alone, by its options.

    Only groups with every option count; there is none where only one option was tried.
    """
    groups: dict[tuple[Value, ...], dict[Value, int]] = {}
    for idx, choice in enumerate(choices):
        rest = tuple(choice[name] for name in DECISIONS if name != decision)
        groups.setdefault(rest, {})[choice[decision]] = idx
    n_options = len({choice[decision] for choice in choices})
    return [group for group in groups.values() if len(group) == n_options > 1]


def rank_correlation(first: Numbers, second: Numbers) -> float:
    """Return Spearman's correlation; equal scores share their mean rank; nan without any order."""
    return _pearson(_ranks(first), _ranks(second))


def _means(
    scores: Numbers, groups: Sequence[Mapping[Value, int]], options: Sequence[Value]
) -> Numbers:
    columns = [scores[:, [group[option] for group in groups]].mean(1) for option in options]
    return np.stack(columns, axis=-1)


def _ranks(values: Numbers) -> Numbers:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)


def _pearson(first: Numbers, second: Numbers) -> float:
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")


def _interval(value: float, drawn: Numbers) -> Interval:
    if not len(drawn):
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))
