"""A study drawn: variants at every two sizes, and the score of each option at each size."""

import itertools
from pathlib import Path

from engine.training.study.plan import DECISIONS
from engine.training.study.transfer import Measure, Scores, comparable, size_pairs


def draw_study(scores: Scores, measure: Measure, path: Path, *, heading: str) -> None:
    """Draw a PNG: above a panel for every two sizes, a point a variant; below one a decision.

    Raises:
        ValueError: No variant was measured at every size.
    """
    # Half a second of imports that a study without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not scores.options:
        raise ValueError("there is no variant that was measured at every size")
    values = scores.of(measure)
    decisions = [name for name in DECISIONS if comparable(scores.choices, name)]
    pairs = list(itertools.combinations(range(len(scores.sizes)), 2))
    columns = max(len(pairs), len(decisions), 1)
    figure = Figure(figsize=(2.6 * columns, 5.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = (list(row) for row in figure.subplots(2, columns, squeeze=False))
    known = size_pairs(scores, measure)
    for axis, (small, large), pair in zip(upper, pairs, known, strict=False):
        axis.scatter(values[small], values[large], s=14)
        correlation = pair.rank_correlation
        axis.set_title(
            f"rank correlation {correlation.value:.2f}\n"
            f"({correlation.low:.2f} to {correlation.high:.2f})",
            fontsize=8,
        )
        axis.set_xlabel(scores.sizes[small], fontsize=8)
        axis.set_ylabel(scores.sizes[large], fontsize=8)
    for axis, decision in zip(lower, decisions, strict=False):
        groups = comparable(scores.choices, decision)
        for option in groups[0]:
            of_option = values[:, [group[option] for group in groups]].mean(1)
            axis.plot(scores.sizes, of_option, marker="o", markersize=3.5, label=str(option))
        axis.set_title(decision.replace("_", " "), fontsize=8)
        axis.legend(fontsize=7, frameon=False)
    for axis in (*upper[len(pairs) :], *lower[len(decisions) :]):
        axis.set_axis_off()
    for axis in (*upper, *lower):
        axis.tick_params(labelsize=7)
    lower[0].set_ylabel(measure, fontsize=8)
    figure.suptitle(heading, fontsize=10)
    figure.savefig(path, format="png")
