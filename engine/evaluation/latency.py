"""Time to the first token of a question, measured on a running engine."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine
from engine.pipeline.retrieve import Scope
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Recall


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Median and 95th percentile of milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSpeed:
    """Questions on what is ingested already, the first one left out as warm-up."""

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
        retrieve=quantiles([each.retrieve_ms for each in timings]),
        first_token=quantiles([each.first_token_ms for each in timings]),
        total=quantiles([each.total_ms for each in timings]),
    )


def quantiles(values_ms: Sequence[float]) -> Quantiles:
    """Median and 95th percentile; the largest value where there are fewer than twenty."""
    ordered = sorted(values_ms)
    place = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return Quantiles(p50_ms=statistics.median(ordered), p95_ms=ordered[place])


def _timings(
    engine: Engine,
    questions: Sequence[str],
    scope: Scope | None,
    recall: Recall | None,
    sampling: Sampling,
) -> Iterator[AnswerTiming]:
    for question in questions:
        *_, said = answer(engine, question, scope=scope, recall=recall, sampling=sampling)
        assert isinstance(said, Answer)
        yield said.timing
