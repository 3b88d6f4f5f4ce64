"""Signals are compared on the same questions, and what they find is counted right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.evaluation.evidence import (
    WEIGHTS,
    Recording,
    Trial,
    best_weight,
    by_kind,
    by_setting,
    measure,
    recordings,
    signal_configs,
    tabulate,
)
from engine.pipeline.assemble import Engine
from engine.records import TimeSpan
from engine.world.questions import Question
from tests.engine.pipeline.conftest import build
from tests.fakes import painted

__all__ = ["build"]

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


def wall(colours: str, *questions: Question) -> Recording:
    names = colours.split()
    return Recording(
        setting="wall",
        fps=1.0,
        pixels=[painted(name, float(at)).pixels for at, name in enumerate(names)],
        questions=questions,
        n_frames=len(names),
    )


def when(colour: str, start_s: float, end_s: float) -> Question:
    span = TimeSpan(start_s=start_s, end_s=end_s)
    return Question(text=f"When is the {colour} flash?", answer="then", spans=(span,), kind="when")


def test_every_signal_is_asked_the_same_and_vectors_know_the_frames(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    about = wall("grey " * 21 + "red red " + "grey " * 30, when("red", 20.5, 22.5))
    found = {each.signals: each for each in measure(engine, [about], signal_configs(engine, 1.0))}
    assert set(found) == {"vectors", "attention", "both"}
    assert all(each.hit_at_1 and each.covered == 1 for each in found.values())
    assert found["vectors"].iou == pytest.approx(1.0)
    # Attention points at a chunk of four frames, not at frames.
    assert found["attention"].iou == pytest.approx(0.5)
    assert engine.index.refs() == ()


def test_attention_counts_no_more_than_it_helps(build: Callable[..., Engine]) -> None:
    about = wall("grey " * 21 + "red red " + "grey " * 30, when("red", 20.5, 22.5))
    assert best_weight(build(), [about]) == min(WEIGHTS)


def test_rows_are_means_with_intervals_by_group() -> None:
    trials = [TRIAL, replace(TRIAL, hit_at_1=False, iou=1.0), replace(TRIAL, kind="code", ms=9.0)]
    codes, moments = sorted(tabulate(trials, by_kind), key=lambda row: row.group)
    assert (codes.group, codes.n, codes.median_ms) == ("code", 1, 9.0)
    assert (moments.n, moments.hit_at_1.value, moments.iou.value) == (2, 0.5, 0.75)
    assert moments.hit_at_1.low < 0.5 < moments.hit_at_1.high
    assert [row.group for row in tabulate(trials, by_setting)] == ["drawn, 64 frames"]


def test_recordings_come_in_every_length_and_setting() -> None:
    footage = [np.zeros((36, 64, 3), np.uint8)]
    drawn = list(recordings(1.0, footage, lengths=(64, 128), frames_each=128, questions_each=8))
    assert [each.n_frames for each in drawn] == [64] * 6 + [128] * 3
    assert len({each.setting for each in drawn}) == 3
    assert all(len(each.questions) <= 8 for each in drawn)
    assert all(question.spans for each in drawn for question in each.questions)
