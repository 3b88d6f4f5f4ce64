"""The curves of a stage, as `curves.json` and as a picture: loss, learning rate, scores."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engine.files import atomic_write

JSON = "curves.json"
PICTURE = "curves.png"
_LOG_FROM: Final = 10.0
"""A loss that falls by this factor is drawn on a logarithmic axis."""
_SMOOTH_OVER: Final = 40
"""Lines of progress from which a mean over a twentieth of them is drawn over the raw loss."""
_N_DISTINCT: Final = 10
"""Scores that colours alone tell apart; more of them differ by their dashes, too."""
_LEGEND_ROWS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One score over the run: measured at some steps only."""

    step: tuple[int, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The course of a stage; `curves.json` holds exactly this."""

    stage: str
    n_steps: int
    step: tuple[int, ...]
    loss: tuple[float, ...]
    """Mean over the steps since the one before."""
    learning_rate: tuple[float, ...]
    wall_s: tuple[float, ...]
    """Since the run began, breaks between a kill and a resume left out."""
    scores: Mapping[str, Series]


def write_curves(curves: Curves, folder: Path) -> None:
    """Write both files, each beside its name and then renamed.

    Args:
        curves: At least one step.
        folder: Exists.
    Cost: about a third of a second on one core, half a second more the first time.
    """
    text = json.dumps(asdict(curves), indent=1) + "\n"
    # Both are written again at the next checkpoint: not worth a flush.
    with atomic_write(folder / JSON, durable=False, single_writer=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_write(folder / PICTURE, durable=False, single_writer=True) as temporary:
        _draw(curves, temporary)


def _draw(curves: Curves, path: Path) -> None:
    """Draw loss and learning rate above, scores below where there are any."""
    # Half a second of imports that a run needs at its checkpoints only.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_panels = 2 if curves.scores else 1
    figure = Figure(figsize=(10, 1 + 3.4 * n_panels), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw_loss(panels[0], curves)
    if curves.scores:
        _draw_scores(panels[1], curves.scores)
    panels[-1].set_xlabel(f"{curves.stage}: step {curves.step[-1]} of {curves.n_steps}")
    panels[-1].set_xlim(0, curves.step[-1] * 1.02)
    figure.savefig(path, format="png")


def _draw_loss(axes: Any, curves: Curves) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    is_smoothed = len(curves.loss) >= _SMOOTH_OVER
    raw = {"alpha": 0.35, "linewidth": 1} if is_smoothed else {"marker": ".", "linewidth": 1.5}
    (line,) = axes.plot(curves.step, curves.loss, color="tab:blue", label="loss", **raw)
    lines = [line]
    if is_smoothed:
        steps, means = _smooth(curves.step, curves.loss)
        lines = axes.plot(steps, means, color="tab:blue", linewidth=2, label="loss, running mean")
    if min(curves.loss) > 0 and max(curves.loss) >= _LOG_FROM * min(curves.loss):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25, which="both")
    rates = axes.twinx()
    lines += rates.plot(
        curves.step,
        curves.learning_rate,
        color="0.6",
        linewidth=1,
        linestyle="--",
        label="learning rate",
    )
    rates.set_ylabel("learning rate", color="0.4")
    rates.set_ylim(bottom=0)
    rates.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    axes.legend(handles=lines, loc="upper right", frameon=False)


def _draw_scores(axes: Any, scores: Mapping[str, Series]) -> None:
    from matplotlib import colormaps

    # Ordered by where they end, so that the legend reads from top to bottom like the curves.
    ordered = sorted(scores.items(), key=lambda item: -item[1].value[-1])
    few = len(ordered) <= _N_DISTINCT
    colours = colormaps["tab10"] if few else colormaps["turbo"].resampled(len(ordered))
    for idx, (name, series) in enumerate(ordered):
        axes.plot(
            series.step,
            series.value,
            marker="o",
            markersize=3,
            linewidth=1.4,
            color=colours(idx),
            linestyle="-" if few else ("-", "--", ":")[idx % 3],
            label=f"{name}  {series.value[-1]:.3g}",
        )
    values = [value for series in scores.values() for value in series.value]
    if min(values) >= 0 and max(values) <= 1:
        axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("held-out scores")
    axes.grid(alpha=0.25)
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=8,
        ncols=math.ceil(len(ordered) / _LEGEND_ROWS),
    )


def _smooth(
    steps: Sequence[int], values: Sequence[float]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return means over a twentieth of the lines, at the last step of each."""
    width = len(values) // 20
    ends = range(width, len(values) + 1)
    means = tuple(math.fsum(values[end - width : end]) / width for end in ends)
    return tuple(steps[end - 1] for end in ends), means
