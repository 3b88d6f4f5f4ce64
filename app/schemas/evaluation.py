"""Results of measuring commands: `eval`, `bench`, `models evidence`, `models calibrate`."""

from typing import Any

from app.schemas.common import Schema


class BenchResponse(Schema):
    """The measurements of `bench`, and the file that holds them."""

    machine: str
    figures: dict[str, dict[str, Any]]
    file: str


class EvalResponse(Schema):
    """The scores of `eval`; `results` names the file with a record for each question."""

    benchmark: str
    questions: int
    score: float
    """Mean score of all questions."""
    evidence_questions: int
    """Questions for which the benchmark states a moment."""
    evidence_hit_at_1: float
    """Share of these questions whose first evidence overlaps the stated moment."""
    results: str


class ShareItem(Schema):
    """A mean with its 95 % interval: Wilson's for shares, bootstrapped for other means."""

    value: float
    low: float
    high: float


class EvidenceRow(Schema):
    """One signal over the questions of one group."""

    group: str
    signals: str
    n: int
    hit_at_1: ShareItem
    hit_at_5: ShareItem
    iou: ShareItem
    """Intersection over union of the best of five hits with the moment that proves the answer."""
    covered: ShareItem
    """Share of that moment that the five hits cover."""
    median_ms: float


class EvidenceResponse(Schema):
    """The measurements of `models evidence`."""

    model: str
    attention_weight: float
    """Weight of attention in `both`: the best of several, chosen on other recordings."""
    overall: list[EvidenceRow]
    by_setting: list[EvidenceRow]
    by_kind: list[EvidenceRow]


class RatesItem(Schema):
    """Error rates of "not found", for recordings of one setting and length."""

    group: str
    n_there: int
    misses: int
    miss_rate: ShareItem
    """Share of things that are there, but were reported as not found."""
    n_absent: int
    false_alarms: int
    false_alarm_rate: ShareItem
    """Share of things that are not there, but for which something was shown."""


class CalibrationResponse(Schema):
    """The calibration of `models calibrate`, and its error rates on held-out recordings."""

    file: str
    signals: str
    rates: list[RatesItem]
    """Rates by setting and length; the last row covers all."""
