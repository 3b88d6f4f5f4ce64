"""What measuring commands tell of a model's evidence: documents, and their look on a terminal."""

from collections.abc import Sequence

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.text import Text

from app.render import plain_table, render
from engine.evaluation.evidence import Mean, Row
from engine.pipeline.signals import SignalsUsed


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


def _mean(mean: Mean) -> ShareItem:
    return ShareItem(value=mean.value, low=mean.low, high=mean.high)
