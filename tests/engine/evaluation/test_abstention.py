"""Both errors of "not found" are counted, and drawn over the threshold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from engine.evaluation.abstention import (
    Claim,
    claims,
    draw_curve,
    existence_questions,
    rates,
    rates_by_setting,
)
from engine.pipeline.config import RetrievalConfig
from engine.pipeline.engine import Engine
from engine.records import TimeSpan
from engine.synthetic.cards_in_footage import Planted
from engine.synthetic.recordings import Recording, recordings
from engine.synthetic.story import Event
from tests.support.fakes import painted


def claim(support: float, *, is_there: bool, n_frames: int = 64) -> Claim:
    return Claim(setting="drawn", n_frames=n_frames, is_there=is_there, support=support)


MADE = [
    claim(0.9, is_there=True),
    claim(0.4, is_there=True),
    claim(0.6, is_there=False),
    claim(0.1, is_there=False, n_frames=256),
]


def test_a_miss_denies_what_is_there_and_a_false_alarm_claims_what_is_not() -> None:
    counted = rates(MADE)
    assert (counted.n_there, counted.misses, counted.n_absent, counted.false_alarms) == (2, 1, 2, 1)
    assert rates(MADE, threshold=0.05).misses == 0
    assert rates(MADE, threshold=0.95).false_alarms == 0


def test_rows_are_by_setting_and_length_and_of_all() -> None:
    groups = [row.group for row in rates_by_setting(MADE)]
    assert groups == ["drawn, 64 frames", "drawn, 256 frames", "all"]


def test_as_much_is_asked_for_that_is_there_as_for_near_misses() -> None:
    _, dense = recordings(1.0, lengths=(128,), frames_each=128, seed=7)
    questions = list(existence_questions(dense))
    assert sum(is_there for _, is_there in questions) == len(questions) / 2
    assert len({text for text, _ in questions}) == len(questions)


def test_claims_are_what_retrieval_supports(build: Callable[..., Engine]) -> None:
    names = ("grey " * 20 + "red " * 2 + "grey " * 20).split()
    span = TimeSpan(start_s=19.5, end_s=21.5)
    shown = Planted(
        footage=[painted(name, float(at)).pixels for at, name in enumerate(names)],
        fps=1.0,
        n_frames=len(names),
        events=(Event(span=span, kind="bag", colour="red", place="street", light="day"),),
    )
    engine = build(retrieval=RetrievalConfig(per_deviation=3.0))
    made = list(claims(engine, [Recording(setting="wall", story=shown)]))
    assert [claim.is_there for claim in made] == [True, False]
    assert made[0].support > 0.5
    assert engine.index.refs() == ()


def test_the_curve_has_a_panel_for_each_setting(tmp_path: Path) -> None:
    draw_curve(MADE, tmp_path / "curve.png")
    pixels = np.asarray(Image.open(tmp_path / "curve.png"))
    assert pixels.std() > 5
