"""What a checkpoint's signals are worth is measured, not guessed."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.abstention import Claim, rates
from engine.evaluation.calibration import JudgedHit, accuracy, calibrate, fit, threshold, write
from engine.pipeline.config import RetrievalConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.scoring import HitFeatures
from engine.tensors import FrameBatch, VisualTokens
from tests.support.fakes import ColourModel


def drawn(n: int, *, seed: int = 0) -> list[JudgedHit]:
    """Cosines tell what is there; deviations are noise; attention points the wrong way."""
    rng = np.random.default_rng(seed)
    return [
        JudgedHit(
            features=HitFeatures(
                cosine=float((0.5 if there else 0.2) + rng.normal(0, 0.05)),
                deviation=float(rng.normal()),
                attention=float(rng.normal() - there),
            ),
            is_there=there,
        )
        for there in (bool(place % 4 == 0) for place in range(n))
    ]


def worth(config: RetrievalConfig, features: HitFeatures) -> float:
    return (
        config.bias
        + config.per_cosine * features.cosine
        + config.per_deviation * features.deviation
        + config.per_attention * features.attention
    )


def test_the_signal_that_tells_gets_the_weight() -> None:
    fitted = fit(RetrievalConfig(), drawn(400))
    tested = drawn(400, seed=1)
    right = sum((worth(fitted, hit.features) > 0) == hit.is_there for hit in tested)
    assert right > 390
    assert fitted.per_cosine > 10
    assert fitted.per_attention == 0.0


def test_calibration_needs_both_answers() -> None:
    with pytest.raises(ValueError, match="things that are not"):
        fit(RetrievalConfig(), [hit for hit in drawn(40) if hit.is_there])


def test_what_was_measured_is_used_by_the_next_engine(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = build()
    folder = engine.config.model.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = write(RetrievalConfig(top_chunks=3, bias=-4.25, per_cosine=9.0), folder)
    assert json.loads(path.read_text())["bias"] == -4.25
    again = assemble(replace(engine.config, retrieval=None), model=ColourModel())
    assert again.retrieval == RetrievalConfig(top_chunks=3, bias=-4.25, per_cosine=9.0)


def claim(odds: float, *, is_there: bool) -> Claim:
    return Claim(setting="drawn", n_frames=64, is_there=is_there, support=1 / (1 + math.exp(-odds)))


def test_the_threshold_lies_in_the_middle_where_both_can_be_told_apart() -> None:
    made = [claim(odds, is_there=odds > 0) for odds in (-5.0, -3.0, 2.0, 6.0)]
    assert threshold(made) == pytest.approx(-0.5)


def test_a_miss_costs_more_than_a_false_alarm() -> None:
    there = [claim(odds, is_there=True) for odds in (-2.0, 4.0, 5.0, 6.0)]
    absent = [claim(odds, is_there=False) for odds in (-4.0, -3.0, -1.0, 1.0)]
    # A quarter missed is as bad as half of what is not there being claimed: the lower one wins
    # with the wider gap.
    assert threshold([*there, *absent]) == pytest.approx(2.5)
    more = [claim(-1.5, is_there=True), *there]
    assert threshold([*more, *absent]) == pytest.approx(-2.5)


def test_a_threshold_needs_both_answers() -> None:
    with pytest.raises(ValueError, match="things that are not"):
        threshold([claim(1.0, is_there=True)])


def test_both_answers_count_alike_in_accuracy() -> None:
    judged = drawn(400)
    assert accuracy(RetrievalConfig(bias=1.0, per_deviation=0.0, per_attention=0.0), judged) == 0.5


@dataclass(frozen=True)
class WatchedModel(ColourModel):
    """Notes every frame that it encodes."""

    frames: list[bytes] = field(default_factory=list)

    def encode(self, frames: FrameBatch) -> VisualTokens:
        self.frames.extend(frame.numpy().tobytes() for frame in frames.pixels)
        return super().encode(frames)


def test_fit_threshold_and_test_share_no_recording(build: Callable[..., Engine]) -> None:
    model = WatchedModel()
    calibrate(build(model), lengths=(64,), frames_each=64)
    # Two settings of one recording each, in each of the three sets.
    per_set = 2 * 64
    assert len(model.frames) == 3 * per_set
    fitted, placed, tested = (
        set(model.frames[start : start + per_set]) for start in range(0, 3 * per_set, per_set)
    )
    assert not fitted & placed
    assert not fitted & tested
    assert not placed & tested


def test_sets_that_would_share_recordings_are_refused(build: Callable[..., Engine]) -> None:
    with pytest.raises(ValueError, match="frames_each must be at most 6400"):
        calibrate(build(), lengths=(64, 256), frames_each=6464)


def test_calibration_runs_on_recordings_and_leaves_the_library_alone(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    measured = calibrate(engine, lengths=(64,), frames_each=64)
    counted = rates(measured.claims)
    assert counted.n_there > 5
    assert counted.n_there == counted.n_absent
    assert measured.retrieval.top_chunks == engine.retrieval.top_chunks
    assert engine.index.refs() == ()
