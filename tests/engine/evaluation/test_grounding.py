"""Signals are compared on the same questions, and what they find is counted right."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.evaluation.grounding import (
    WEIGHTS,
    Trial,
    best_weight,
    by_kind,
    by_setting,
    measure,
    signal_configs,
    tabulate,
)
from engine.pipeline.engine import Engine
from engine.records import TimeSpan
from engine.synthetic.cards_in_footage import Planted
from engine.synthetic.recordings import Recording
from engine.synthetic.story import Event
from tests.support.fakes import painted

TRIAL = Trial(
    setting="drawn",
    n_frames=64,
    signals="vectors",
    kind="when",
    hit_at_1=True,
    hit_at_5=True,
    iou=0.5,
    covered=1.0,
    ms=2.0,
)


def wall(colours: str, *events: Event) -> Recording:
    names = colours.split()
    footage = [painted(name, float(at)).pixels for at, name in enumerate(names)]
    shown = Planted(footage=footage, fps=1.0, n_frames=len(names), events=events)
    return Recording(setting="wall", story=shown)


def flash(colour: str, start_s: float, end_s: float) -> Event:
    """What is drawn is the footage itself; the name is what the question asks for."""
    span = TimeSpan(start_s=start_s, end_s=end_s)
    return Event(span=span, kind="bag", colour=colour, place="street", light="day")


def test_every_signal_is_asked_the_same_and_vectors_know_the_frames(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    about = wall("grey " * 21 + "red red " + "grey " * 30, flash("red", 20.5, 22.5))
    trials = list(measure(engine, [about], signal_configs(engine, 1.0)))
    found = {trial.signals: trial for trial in trials if trial.kind == "when"}
    assert set(found) == {"vectors", "attention", "both"}
    assert all(trial.hit_at_1 and trial.covered == 1 for trial in found.values())
    assert found["vectors"].iou == pytest.approx(1.0)
    # Attention points at a chunk of four frames, not at frames.
    assert found["attention"].iou == pytest.approx(0.5)
    assert engine.index.refs() == ()


def test_attention_counts_no_more_than_it_helps(build: Callable[..., Engine]) -> None:
    about = wall("grey " * 21 + "red red " + "grey " * 30, flash("red", 20.5, 22.5))
    assert best_weight(build(), [about]) == min(WEIGHTS)


def test_rows_are_means_with_intervals_by_group() -> None:
    trials = [TRIAL, replace(TRIAL, hit_at_1=False, iou=1.0), replace(TRIAL, kind="code", ms=9.0)]
    codes, moments = sorted(tabulate(trials, by_kind), key=lambda row: row.group)
    assert (codes.group, codes.n, codes.median_ms) == ("code", 1, 9.0)
    assert (moments.n, moments.hit_at_1.value, moments.iou.value) == (2, 0.5, 0.75)
    assert moments.hit_at_1.low < 0.5 < moments.hit_at_1.high
    assert [row.group for row in tabulate(trials, by_setting)] == ["drawn, 64 frames"]
