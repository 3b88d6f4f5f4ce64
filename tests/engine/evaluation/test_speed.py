"""Speeds are measured on what ran, and add up."""

from collections.abc import Callable

import pytest

from engine.evaluation.speed import measure_ingest, measure_questions, quantiles
from engine.pipeline.assemble import Engine
from tests.engine.pipeline.conftest import CAMERA, build
from tests.fakes import story

__all__ = ["build"]


def test_an_ingest_is_counted_and_timed(build: Callable[..., Engine]) -> None:
    speed = measure_ingest(build(), CAMERA, story("grey*40 red*8"))
    assert (speed.n_frames, speed.n_chunks, speed.video_s) == (48, 12, 48.0)
    assert speed.frames_per_s == pytest.approx(48 / speed.wall_s)
    assert speed.bytes_per_hour == speed.latent_bytes * 75
    assert speed.chunk_growth > 0
    assert speed.memory_growth == pytest.approx(1.0, abs=0.2)


def test_the_first_question_only_warms_up(build: Callable[..., Engine]) -> None:
    engine = build()
    measure_ingest(engine, CAMERA, story("grey*40 red*8"))
    speed = measure_questions(engine, ["What is red?"] * 5)
    assert speed.n == 4
    assert speed.retrieve.p50_ms <= speed.first_token.p50_ms <= speed.total.p50_ms


def test_quantiles_of_a_hundred_values() -> None:
    found = quantiles([float(n) for n in range(100)])
    assert (found.p50_ms, found.p95_ms) == (49.5, 95.0)
    assert quantiles([3.0]).p95_ms == 3.0
