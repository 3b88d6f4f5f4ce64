"""Heat maps of several kinds of memory side by side, on one colour scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.needle_grid import draw_panel

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
