"""How right answers and moments are; pure functions over records."""

import math
from collections.abc import Sequence

import numpy as np

from engine.records import TimeSpan


def accuracy(right: Sequence[bool]) -> float:
    """Share of right answers; 0 where there were none."""
    return sum(right) / len(right) if right else 0.0


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, which stays honest near 0 and 1; (0, 1) where n is 0.

    Source: E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical
    inference".
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    share = n_right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float], *, n_draws: int = 1000) -> tuple[float, float]:
    """The 95 % interval of a mean by resampling, the same every time; (nan, nan) of nothing."""
    if not values:
        return math.nan, math.nan
    rng = np.random.default_rng(len(values))
    given = np.asarray(values, dtype=np.float64)
    means = [given[rng.integers(len(given), size=len(given))].mean() for _ in range(n_draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def best_iou(found: Sequence[TimeSpan], wanted: TimeSpan) -> float:
    """Interval IoU of the span that fits best, in [0, 1]; 0 when nothing was found."""
    return max((span.iou(wanted) for span in found), default=0.0)


def recall_at(found: Sequence[TimeSpan], wanted: Sequence[TimeSpan], k: int) -> float:
    """Share of the wanted spans that one of the first k found spans overlaps."""
    if not wanted:
        return 0.0
    return sum(any(_meets(span, each) for span in found[:k]) for each in wanted) / len(wanted)


def covered(found: Sequence[TimeSpan], wanted: TimeSpan) -> float:
    """Share of the wanted seconds that found spans cover together, in [0, 1]."""
    if wanted.duration_s <= 0:
        return float(any(span.contains(wanted.start_s) for span in found))
    covered_s, reached_s = 0.0, wanted.start_s
    for span in sorted(found):
        start_s = max(span.start_s, reached_s)
        end_s = min(span.end_s, wanted.end_s)
        if end_s > start_s:
            covered_s += end_s - start_s
            reached_s = end_s
    return covered_s / wanted.duration_s


def moment_error_s(found_s: float, wanted: TimeSpan) -> float:
    """Seconds between a moment and the span that it should lie in; 0 inside."""
    return max(wanted.start_s - found_s, found_s - wanted.end_s, 0.0)


def _meets(span: TimeSpan, other: TimeSpan) -> bool:
    """Whether two spans share a moment; a span without length counts as its start."""
    if other.duration_s <= 0:
        return span.contains(other.start_s)
    return span.overlap_s(other) > 0
