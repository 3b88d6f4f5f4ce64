"""Verdicts: moments that people confirmed or rejected."""

from typing import Literal

from pydantic import Field

from app.schemas.common import RequestModel, Schema, VideoLabels, VideoSpan, describe_span
from storage.verdict_records import VerdictOrigin, VerdictRow

VerdictWord = Literal["right", "wrong"]


class VerdictRequest(RequestModel):
    """A moment of a search or an answer, and whether it shows what was asked for."""

    video_id: str = Field(max_length=64)
    start_s: float = Field(ge=0)
    end_s: float = Field(ge=0)
    peak_s: float | None = Field(default=None, ge=0)
    """The frame that was shown; the start when left out."""
    query: str = Field(max_length=4000)
    """The words of the search or the question."""
    verdict: VerdictWord | None
    """`null` takes back what was said before."""
    origin: VerdictOrigin = "search"
    kind: str = Field(default="", max_length=32)
    score: float | None = None


class VerdictItem(VideoSpan):
    """A verdict that was kept."""

    peak_s: float
    query: str
    verdict: VerdictWord
    origin: VerdictOrigin
    kind: str
    score: float | None
    account: str | None
    """Whose it is; `null` once that account is gone."""
    given_at: str


class VerdictsResponse(Schema):
    """Verdicts, in the order in which they were given."""

    verdicts: list[VerdictItem]


def describe_verdict(row: VerdictRow, labels: VideoLabels) -> VerdictItem:
    """Return a verdict as JSON."""
    verdict = row.verdict
    return VerdictItem(
        **describe_span(verdict.video, verdict.span, labels).model_dump(),
        peak_s=verdict.peak_s,
        query=verdict.query,
        verdict="right" if verdict.is_right else "wrong",
        origin=verdict.origin,
        kind=verdict.kind,
        score=verdict.score,
        account=row.account,
        given_at=row.updated_at.isoformat(),
    )
