"""Several kinds of memory side by side: heat maps on one colour scale, curves over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.metrics import wilson
from engine.evaluation.needle_grid import draw_panel
from engine.evaluation.persistence import FactResult

Share = Mapping[tuple[int, float], float]
"""Share of right answers by length in frames and depth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One memory's heat map."""

    title: str
    note: str
    """What it keeps, in a few words; printed under the title."""
    shares: Share


def draw_side_by_side(panels: Sequence[Panel], path: Path, *, heading: str) -> None:
    """Draw a row of heat maps of the same lengths and depths, as a PNG 1,800 px wide.

    Raises:
        ValueError: The panels have no cell, or not the same ones.
    """
    # Half a second of imports that a measurement without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells = {frozenset(panel.shares) for panel in panels}
    if len(cells) != 1 or not next(iter(cells)):
        raise ValueError("panels must have the same lengths and depths, and at least one of each")
    known = next(iter(cells))
    lengths = sorted({length for length, _ in known})
    depths = sorted({depth for _, depth in known})
    figure = Figure(figsize=(10, 1.75 + 0.4 * len(depths)), dpi=180, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        shares = [[panel.shares[length, depth] for length in lengths] for depth in depths]
        image = draw_panel(axis, shares, f"{panel.title}\n{panel.note}", lengths, depths)
        axis.set_xlabel("frames of video")
    axes[0].set_ylabel("depth of the needle")
    figure.colorbar(image, ax=list(axes), label="answers right", shrink=0.9, aspect=30, pad=0.01)
    figure.suptitle(heading, fontsize=12)
    figure.savefig(path)


def draw_persistence(results: Sequence[FactResult], path: Path, *, heading: str) -> None:
    """Draw right answers and evidence within a minute over the age of a fact, a line a memory."""
    # Half a second of imports that a measurement without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    ages_s = sorted({result.age_s for result in results})
    for memory in dict.fromkeys(result.memory for result in results):
        groups = [
            [fact for fact in results if fact.memory == memory and fact.age_s == age_s]
            for age_s in ages_s
        ]
        n_right = [sum(fact.attempt.is_right for fact in group) for group in groups]
        shares = [n / len(group) for n, group in zip(n_right, groups, strict=True)]
        lows, highs = zip(
            *(wilson(n, len(group)) for n, group in zip(n_right, groups, strict=True)), strict=True
        )
        # Lines that lie on each other must both be seen.
        style = {"linestyle": "--", "zorder": 3} if memory == "summary" else {}
        (line,) = left.plot(ages_s, shares, marker="o", markersize=3.5, label=memory, **style)
        left.fill_between(ages_s, lows, highs, color=line.get_color(), alpha=0.1, linewidth=0)
        near = [sum(fact.references[60] for fact in group) / len(group) for group in groups]
        right.plot(ages_s, near, marker="o", markersize=3.5, color=line.get_color(), **style)
    left.set_title("answers right", fontsize=10)
    right.set_title("evidence within a minute of the moment (Ref@60)", fontsize=10)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(ages_s, [_spell_age(age_s) for age_s in ages_s])
        axes.minorticks_off()
        axes.set_xlabel("age of the fact")
        axes.set_ylim(-0.03, 1.03)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.suptitle(heading, fontsize=10)
    figure.savefig(path)


def _spell_age(age_s: float) -> str:
    if age_s < 60:
        return f"{age_s:g} s"
    return f"{age_s / 60:g} min" if age_s < 3600 else f"{age_s / 3600:g} h"
