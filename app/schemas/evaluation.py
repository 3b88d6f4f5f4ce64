"""Results of measuring commands: `eval`, `bench`, `models evidence`, `models calibrate`."""

from typing import Any

from pydantic import BaseModel


class BenchResponse(BaseModel):
    """What `bench` measured, and the file that keeps it."""

    machine: str
    figures: dict[str, dict[str, Any]]
    file: str


class EvalResponse(BaseModel):
    """What `eval` measured; one record a question lies in `results`."""

    benchmark: str
    questions: int
    score: float
    """Mean over all questions."""
    evidence_questions: int
    """Those for which the benchmark states a moment."""
    evidence_hit_at_1: float
    """Share of them whose first evidence meets it."""
    results: str


class ShareItem(BaseModel):
    """A mean with its 95 % interval: Wilson's of shares, bootstrapped of other means."""

    value: float
    low: float
    high: float


class EvidenceRow(BaseModel):
    """One signal over the questions of one group."""

    group: str
    signals: str
    n: int
    hit_at_1: ShareItem
    hit_at_5: ShareItem
    iou: ShareItem
    """Of the best of five with the moment that proves the answer."""
    covered: ShareItem
    """Share of that moment which the five cover."""
    median_ms: float


class EvidenceResponse(BaseModel):
    """What `models evidence` measured."""

    model: str
    attention_weight: float
    """What a deviation of attention counted in `both`: the best of some, on other recordings."""
    overall: list[EvidenceRow]
    by_setting: list[EvidenceRow]
    by_kind: list[EvidenceRow]


class RatesItem(BaseModel):
    """How often "not found" is wrong about recordings of one setting and length."""

    group: str
    n_there: int
    misses: int
    miss_rate: ShareItem
    """Of things that are there, those said not to be found."""
    n_absent: int
    false_alarms: int
    false_alarm_rate: ShareItem
    """Of near misses, those for which something was shown."""


class CalibrationResponse(BaseModel):
    """What `models calibrate` wrote, and how it fares on recordings that had no part in it."""

    file: str
    signals: str
    rates: list[RatesItem]
    """By setting and length; the last one is of all."""
