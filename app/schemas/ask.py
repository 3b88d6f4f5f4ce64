"""Questions and their answers, with the evidence."""

from typing import Literal

from pydantic import Field

from app.schemas.common import (
    RequestModel,
    Schema,
    TimeBound,
    VideoIds,
    VideoLabels,
    VideoSpan,
    describe_span,
)
from engine.records import Answer, Evidence, Origin, Recall


class EvidenceItem(VideoSpan):
    """A span of video that supports an answer."""

    score: float
    origin: Origin
    keyframe_s: float


class AskTiming(Schema):
    """Durations in milliseconds, from when the question arrived."""

    retrieve_ms: float
    first_token_ms: float
    total_ms: float


class AnswerResponse(Schema):
    """An answer with its evidence: the document of `ask`."""

    question: str
    answer: str
    evidence: list[EvidenceItem]
    searched_s: float
    recalled_chunks: int
    recall: Recall
    model: str
    timing: AskTiming


class AskRequest(RequestModel):
    """A question, where to look, and the conversation it continues."""

    question: str
    videos: VideoIds = Field(default=[])
    after: TimeBound = None
    before: TimeBound = None
    recall: Literal["top", "overview", "all"] | None = None
    conversation_id: str | None = Field(default=None, max_length=64)


class AskResponse(AnswerResponse):
    """An answer, and the conversation it was stored in."""

    conversation_id: str
    searched: str
    """The duration of the video searched, in words."""


def describe_answer(question: str, answer: Answer, labels: VideoLabels) -> AnswerResponse:
    """Return an answer as JSON."""
    return AnswerResponse(
        question=question,
        answer=answer.text,
        evidence=[_describe_evidence(item, labels) for item in answer.evidence],
        searched_s=answer.searched_s,
        recalled_chunks=answer.recalled_chunks,
        recall=answer.recall,
        model=f"{answer.card.family}/{answer.card.variant}",
        timing=AskTiming(
            retrieve_ms=answer.timing.retrieve_ms,
            first_token_ms=answer.timing.first_token_ms,
            total_ms=answer.timing.total_ms,
        ),
    )


def _describe_evidence(evidence: Evidence, labels: VideoLabels) -> EvidenceItem:
    return EvidenceItem(
        **describe_span(evidence.video, evidence.span, labels).model_dump(),
        score=evidence.score,
        origin=evidence.origin,
        keyframe_s=evidence.keyframe_s,
    )
