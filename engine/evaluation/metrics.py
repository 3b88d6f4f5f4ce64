"""Metrics of answers and of moments: pure functions over records."""

import math
from collections.abc import Sequence

import numpy as np

from engine.records import TimeSpan


def accuracy(right: Sequence[bool]) -> float:
    """Return the share of right answers; 0 where there were none."""
    return sum(right) / len(right) if right else 0.0


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, which holds near 0 and 1 too; (0, 1) where n is 0.

    Source: E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical
    inference".
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959964  # The normal distribution leaves 2.5 % above it.
    share = n_right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float], *, n_draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of a mean by resampling; (nan, nan) of nothing.

    The same values give the same interval: the draws are seeded by their number.
    """
    if not values:
        return math.nan, math.nan
    rng = np.random.default_rng(len(values))
    sample = np.asarray(values, dtype=np.float64)
    means = [sample[rng.integers(len(sample), size=len(sample))].mean() for _ in range(n_draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def best_iou(spans: Sequence[TimeSpan], wanted: TimeSpan) -> float:
    """Return the IoU of the span that fits best, in [0, 1]; 0 when nothing was found."""
    return max((span.iou(wanted) for span in spans), default=0.0)


def recall_at(spans: Sequence[TimeSpan], wanted: Sequence[TimeSpan], k: int) -> float:
    """Return the share of wanted spans that one of the first k found spans overlaps."""
    if not wanted:
        return 0.0
    n_met = sum(any(_meets(span, target) for span in spans[:k]) for target in wanted)
    return n_met / len(wanted)


def is_referenced(
    spans: Sequence[TimeSpan], wanted: Sequence[TimeSpan], grain_s: float | int
) -> bool:
    """Return whether every wanted span is overlapped, or lies within a grain of a found span.

    The share of questions for which this holds is what we call Ref@N. MM-Lifelong
    (arXiv:2603.05484) has a measure of that name whose formula was not published in the part
    that we have read: the two must not be set side by side.
    """
    return bool(wanted) and all(
        any(
            span.start_s - grain_s <= target.end_s and target.start_s <= span.end_s + grain_s
            for span in spans
        )
        for target in wanted
    )


def covered(spans: Sequence[TimeSpan], wanted: TimeSpan) -> float:
    """Return the share of the wanted seconds that found spans cover together, in [0, 1]."""
    if wanted.duration_s <= 0:
        return float(any(span.contains(wanted.start_s) for span in spans))
    covered_s, reached_s = 0.0, wanted.start_s
    for span in sorted(spans):
        start_s = max(span.start_s, reached_s)
        end_s = min(span.end_s, wanted.end_s)
        if end_s > start_s:
            covered_s += end_s - start_s
            reached_s = end_s
    return covered_s / wanted.duration_s


def _meets(span: TimeSpan, other: TimeSpan) -> bool:
    """Return whether two spans share a moment; a span without length counts as its start."""
    if other.duration_s <= 0:
        return span.contains(other.start_s)
    return span.overlap_s(other) > 0
