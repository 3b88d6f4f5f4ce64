"""Speeds are measured on what ran, and add up."""

from collections.abc import Callable

from engine.evaluation.latency import measure_questions, quantiles
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import story


def test_the_first_question_only_warms_up(build: Callable[..., Engine]) -> None:
    engine = build()
    for _ in ingest(engine, CAMERA, story("grey*40 red*8")):
        pass
    speed = measure_questions(engine, ["What is red?"] * 5)
    assert speed.n == 4
    assert speed.retrieve.p50_ms <= speed.first_token.p50_ms <= speed.total.p50_ms


def test_quantiles_of_a_hundred_values() -> None:
    found = quantiles([float(n) for n in range(100)])
    assert (found.p50_ms, found.p95_ms) == (49.5, 95.0)
    assert quantiles([3.0]).p95_ms == 3.0
