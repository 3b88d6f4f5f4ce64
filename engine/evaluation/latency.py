"""Latency of questions on a running engine: to the hits, the first token, the whole answer."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Recall, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Median and 95th percentile of milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSpeed:
    """Latency of questions about ingested video, the first one left out as warm-up."""

    n: int
    retrieve: Quantiles
    first_token: Quantiles
    total: Quantiles


def measure_questions(
    engine: Engine,
    questions: Sequence[str],
    *,
    scope: Scope | None = None,
    recall: Recall | None = None,
    max_tokens: int = 32,
) -> QuestionSpeed:
    """Ask one question after the other; the first one only warms up."""
    if len(questions) < 2:
        raise ValueError("a measurement needs a question to warm up and one to time")
    sampling = Sampling(max_tokens=max_tokens)
    timings = list(_timings(engine, questions, scope, recall, sampling))[1:]
    return QuestionSpeed(
        n=len(timings),
        retrieve=quantiles([timing.retrieve_ms for timing in timings]),
        first_token=quantiles([timing.first_token_ms for timing in timings]),
        total=quantiles([timing.total_ms for timing in timings]),
    )


def quantiles(values_ms: Sequence[float]) -> Quantiles:
    """Return median and 95th percentile; the largest value where there are fewer than twenty."""
    ordered = sorted(values_ms)
    idx = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return Quantiles(p50_ms=statistics.median(ordered), p95_ms=ordered[idx])


def _timings(
    engine: Engine,
    questions: Sequence[str],
    scope: Scope | None,
    recall: Recall | None,
    sampling: Sampling,
) -> Iterator[AnswerTiming]:
    for question in questions:
        *_, final = answer(engine, question, scope=scope, recall=recall, sampling=sampling)
        assert isinstance(final, Answer)
        yield final.timing
