"""What a checkpoint's signals are worth is measured, not guessed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.pipeline.assemble import Engine, assemble
from engine.pipeline.signals import RetrievalConfig, Signals
from engine.probes.calibrate import Judged, calibrate, fit, write
from tests.engine.pipeline.conftest import build
from tests.fakes import ColourModel

__all__ = ["build"]


def drawn(n: int, *, seed: int = 0) -> list[Judged]:
    """Cosines tell what is there; deviations are noise; attention points the wrong way."""
    rng = np.random.default_rng(seed)
    return [
        Judged(
            signals=Signals(
                cosine=float((0.5 if there else 0.2) + rng.normal(0, 0.05)),
                deviation=float(rng.normal()),
                attention=float(rng.normal() - there),
            ),
            is_there=there,
        )
        for there in (bool(place % 4 == 0) for place in range(n))
    ]


def worth(config: RetrievalConfig, signals: Signals) -> float:
    return (
        config.bias
        + config.per_cosine * signals.cosine
        + config.per_deviation * signals.deviation
        + config.per_attention * signals.attention
    )


def test_the_signal_that_tells_gets_the_weight() -> None:
    fitted = fit(RetrievalConfig(), drawn(400))
    tested = drawn(400, seed=1)
    right = sum((worth(fitted, each.signals) > 0) == each.is_there for each in tested)
    assert right > 390
    assert fitted.per_cosine > 10
    assert fitted.per_attention == 0.0


def test_calibration_needs_both_answers() -> None:
    with pytest.raises(ValueError, match="things that are not"):
        fit(RetrievalConfig(), [each for each in drawn(40) if each.is_there])


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


def test_calibration_runs_on_drawn_recordings(build: Callable[..., Engine]) -> None:
    engine = build()
    measured = calibrate(engine, n_stories=3, duration_s=60.0)
    assert measured.n > 0
    assert 0 <= measured.found_what_is_there <= 1
    assert measured.retrieval.top_chunks == engine.retrieval.top_chunks
    assert engine.index.refs() == ()
