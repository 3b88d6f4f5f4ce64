"""What measuring commands tell of a model's evidence: documents, and their look on a terminal."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, render
from engine.evaluation.abstention import Rates, rates_by_setting
from engine.evaluation.calibration import Calibration
from engine.evaluation.grounding import Mean, Row
from engine.evaluation.metrics import wilson
from engine.pipeline.scoring import SignalsUsed


class ShareItem(BaseModel):
    """A mean with its 95 % interval: Wilson's of shares, bootstrapped of other means."""

    value: float
    low: float
    high: float


class EvidenceRow(BaseModel):
    """One signal over the questions of one group."""

    group: str
    signals: SignalsUsed
    n: int
    hit_at_1: ShareItem
    hit_at_5: ShareItem
    iou: ShareItem
    """Of the best of five with the moment that proves the answer."""
    covered: ShareItem
    """Share of that moment which the five cover."""
    median_ms: float


class EvidenceDocument(BaseModel):
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


class CalibrationDocument(BaseModel):
    """What `models calibrate` wrote, and how it fares on recordings that had no part in it."""

    file: str
    signals: SignalsUsed
    rates: list[RatesItem]
    """By setting and length; the last one is of all."""


def describe_rates(rows: Sequence[Rates]) -> list[RatesItem]:
    """Rates as their documents."""
    return [
        RatesItem(
            group=row.group,
            n_there=row.n_there,
            misses=row.misses,
            miss_rate=_share(row.misses, row.n_there),
            n_absent=row.n_absent,
            false_alarms=row.false_alarms,
            false_alarm_rate=_share(row.false_alarms, row.n_absent),
        )
        for row in rows
    ]


def describe_calibration(file: Path, measured: Calibration) -> CalibrationDocument:
    """A calibration as its document."""
    return CalibrationDocument(
        file=str(file),
        signals=measured.retrieval.signals,
        rates=describe_rates(rates_by_setting(measured.claims)),
    )


def describe_rows(rows: Sequence[Row]) -> list[EvidenceRow]:
    """Rows as their documents."""
    return [
        EvidenceRow(
            group=row.group,
            signals=row.signals,
            n=row.n,
            hit_at_1=_mean(row.hit_at_1),
            hit_at_5=_mean(row.hit_at_5),
            iou=_mean(row.iou),
            covered=_mean(row.covered),
            median_ms=row.median_ms,
        )
        for row in rows
    ]


@render.register
def _(measured: EvidenceDocument) -> RenderableType:
    rows = plain_table("questions", "signals", "n", "hit@1", "hit@5", "IoU", "covered", "ms")
    for row in (*measured.overall, *measured.by_setting, *measured.by_kind):
        means = (row.hit_at_1, row.hit_at_5, row.iou, row.covered)
        said = [f"{mean.value:.2f} ({mean.low:.2f}-{mean.high:.2f})" for mean in means]
        rows.add_row(row.group, row.signals, str(row.n), *said, f"{row.median_ms:.1f}")
    return Group(rows, Text(f"attention counts {measured.attention_weight:g} in both", "dim"))


@render.register
def _(measured: CalibrationDocument) -> RenderableType:
    rows = plain_table("questions", "there", "missed", "not there", "false alarms")
    for row in measured.rates:
        cells = [
            (row.n_there, row.misses, row.miss_rate),
            (row.n_absent, row.false_alarms, row.false_alarm_rate),
        ]
        said = [
            text
            for n, wrong, share in cells
            for text in (str(n), f"{wrong}: {share.value:.3f} ({share.low:.3f}-{share.high:.3f})")
        ]
        rows.add_row(row.group, *said)
    foot = f"retrieval by {measured.signals}; written to {measured.file}"
    return Group(rows, Text(foot, "dim"))


def _share(n_wrong: int, n: int) -> ShareItem:
    low, high = wilson(n_wrong, n)
    return ShareItem(value=n_wrong / n if n else 0.0, low=low, high=high)


def _mean(mean: Mean) -> ShareItem:
    return ShareItem(value=mean.value, low=mean.low, high=mean.high)
