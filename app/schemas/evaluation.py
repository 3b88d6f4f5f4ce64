"""Results of measuring commands: `eval`, `bench`, `models evidence`, `models calibrate`."""

from typing import Any

from app.schemas.common import Schema


class BenchResponse(Schema):
    """The measurements of `bench`, and the file that holds them."""

    machine: str
    figures: dict[str, dict[str, Any]]
    file: str


class ShareItem(Schema):
    """A mean with its 95 % interval: Wilson's for shares, bootstrapped for other means."""

    value: float
    low: float
    high: float


class PublishedItem(Schema):
    """A figure that a paper states of its own model: not measured here."""

    model: str
    score: float
    source: str


class ScoreItem(Schema):
    """The scores of one group of a benchmark's questions, each in [0, 1]."""

    group: str
    n: int
    """Questions; several tries of one that count together are one."""
    unparsable: int
    """Questions whose answer named no choice; they count as wrong."""
    score: ShareItem
    """The interval is drawn over videos."""
    baselines: dict[str, float]
    """`recent_window`, `one_frame` and `text_only`: the same questions without the memory."""
    chance: float | None
    """Score of guessing; `None` where there are no options."""
    published: list[PublishedItem]


class EvalResponse(Schema):
    """The scores of `eval`; `results` names the file with a record for each question."""

    benchmark: str
    title: str
    model: str
    recall: str
    """Chunks that the questions recalled: top, overview, all, or mixed."""
    questions: int
    """Questions that were asked."""
    missing: int
    """Questions that were not: their video is not there, or cannot be read."""
    missing_reasons: list[str]
    """Why, for some of them."""
    score: float
    """Score of everything as the benchmark's authors take its mean."""
    rows: list[ScoreItem]
    """All questions first, then its tasks and groups."""
    evidence_questions: int
    """Questions for which the benchmark states a moment."""
    evidence_hit_at_1: float
    """Share of these questions whose first evidence overlaps the stated moment."""
    results: str


class CurationResponse(Schema):
    """The outcome of `curate`: questions that neither words nor one frame answer."""

    output: str
    runs: int
    """Files of records, one for each model and benchmark."""
    kept: int
    categories: dict[str, int]
    sources: dict[str, int]
    answered_by_text: int
    """Questions that more than half of the models answer from the words alone."""
    answered_by_frame: int
    """The same from one frame."""
    unlabelled: int
    """Questions of no category."""
    unfit: int
    """Questions whose answer is no letter, or whose records have no baselines."""
    beyond: int
    """Questions on which models differ less than on those that stay."""


class BenchmarkItem(Schema):
    """A benchmark that `eval` runs on a local copy."""

    name: str
    title: str
    measures: str
    size: str
    licence: str
    files: str
    """The annotation file and the folders that `--root` holds."""
    source: str


class BenchmarksResponse(Schema):
    """The benchmarks that `eval` knows."""

    benchmarks: list[BenchmarkItem]


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
