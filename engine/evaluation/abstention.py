"""Abstention: how often "not found" is wrong, and how often it is missing.

Things that are there are asked for beside near misses: things that differ from them in one word
and are nowhere to be seen. A miss denies what is there, a false alarm claims what is not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.evaluation.scratch_engine import WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.engine import Engine
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import SUPPORTED
from engine.synthetic import grammar
from engine.synthetic.negatives import near_misses
from engine.synthetic.recordings import Recording

_WORDINGS = ("exist", "when")
"""Kinds of question that name a whole thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The strongest support that one question found."""

    setting: str
    n_frames: int
    is_there: bool
    support: float
    """In [0, 1]; 0 where nothing was found at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Errors about what is there, at one threshold."""

    group: str
    n_there: int
    misses: int
    """Things that are there and are said not to be found."""
    n_absent: int
    false_alarms: int
    """Near misses for which something is shown."""


def claims(engine: Engine, recordings: Iterable[Recording]) -> Iterator[Claim]:
    """Ask for all that recordings show, and for as many near misses.

    Cost: a recording goes through the towers once, a question through the index.
    """
    for recording, scratch in ingested_one_by_one(engine, recordings):
        for text, is_there in existence_questions(recording):
            hits = retrieve(scratch, parse(text), scope=WHOLE_VIDEO).hits
            yield Claim(
                setting=recording.setting,
                n_frames=recording.n_frames,
                is_there=is_there,
                support=max((hit.support for hit in hits), default=0.0),
            )


def existence_questions(recording: Recording) -> Iterator[tuple[str, bool]]:
    """Yield questions for things that are there, then for near misses, each with which it is."""
    names = list(dict.fromkeys(event.name for event in recording.events))
    rng = np.random.default_rng([len(names), recording.n_frames, 13])
    absent = near_misses(recording.events, rng, len(names))
    for idx, name in enumerate([*names, *absent]):
        template = grammar.TEMPLATES[_WORDINGS[idx % len(_WORDINGS)]][0]
        yield template.format(thing=f"the {name}", a_thing=grammar.an(name)), idx < len(names)


def rates(claims: Sequence[Claim], group: str = "all", *, threshold: float = SUPPORTED) -> Rates:
    """Count the errors where support below the threshold means "not found"."""
    there = [claim for claim in claims if claim.is_there]
    absent = [claim for claim in claims if not claim.is_there]
    return Rates(
        group=group,
        n_there=len(there),
        misses=sum(claim.support < threshold for claim in there),
        n_absent=len(absent),
        false_alarms=sum(claim.support >= threshold for claim in absent),
    )


def rates_by_setting(claims: Sequence[Claim]) -> tuple[Rates, ...]:
    """Return a row for each setting and length, in the order they came, and one of all."""
    groups: dict[str, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(f"{claim.setting}, {claim.n_frames} frames", []).append(claim)
    return (*(rates(members, group) for group, members in groups.items()), rates(claims))


def draw_curve(claims: Sequence[Claim], path: Path) -> None:
    """Draw misses and false alarms over the threshold, as a PNG; the one in use is marked."""
    # Half a second of imports that a calibration without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(claim.setting for claim in claims))
    figure = Figure(figsize=(3.2 * len(settings) + 0.6, 2.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=True):
        _draw_panel(axes, setting, [claim for claim in claims if claim.setting == setting])
    panels[0].set_ylabel("share of questions")
    panels[0].legend(loc="center right", fontsize=8, frameon=False)
    figure.savefig(path)


def _draw_panel(axes: Any, setting: str, claims: Sequence[Claim]) -> None:
    # Support is logistic: even steps of it would crowd at both ends.
    log_odds = np.linspace(-12, 12, 193)
    counted = [rates(claims, threshold=float(1 / (1 + np.exp(-step)))) for step in log_odds]
    missed = [row.misses / max(1, row.n_there) for row in counted]
    alarmed = [row.false_alarms / max(1, row.n_absent) for row in counted]
    axes.plot(log_odds, missed, color="#1f4e8c", label="misses")
    axes.plot(log_odds, alarmed, color="#d9822b", linestyle="--", label="false alarms")
    axes.axvline(0, color="#777777", linewidth=0.8)
    axes.set_title(f"{setting}\n{counted[0].n_there} there, {counted[0].n_absent} not", fontsize=9)
    ticks = (0.0001, 0.01, 0.5, 0.99, 0.9999)
    axes.set_xticks([np.log(tick / (1 - tick)) for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.tick_params(labelsize=8)
    axes.set_xlabel("support needed", fontsize=9)
    axes.set_ylim(-0.02, 1.02)
