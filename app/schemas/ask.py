"""Questions and their answers, with the evidence."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from app.schemas.common import (
    CameraNames,
    GapItem,
    LeftOutItem,
    RequestModel,
    Schema,
    TimeBound,
    TimeOfDay,
    VideoIds,
    VideoLabels,
    VideoSpan,
    describe_left_out,
    describe_span,
)
from engine.records import (
    Answer,
    AnsweredBy,
    AnswerTiming,
    Evidence,
    Observation,
    ObservationKind,
    Origin,
    Recall,
)
from storage.records import MOST_GROUNDS


class EvidenceObservation(Schema):
    """A row that evidence rests on: what an observer stated."""

    kind: ObservationKind
    label: str
    text: str
    start_s: float
    end_s: float
    confidence: float
    colours: list[str]
    model: str


class EvidenceItem(VideoSpan):
    """A span of video that supports an answer."""

    score: float
    origin: Origin
    keyframe_s: float
    observations: list[EvidenceObservation] = Field(default_factory=list)


class AskTiming(Schema):
    """Durations in milliseconds, from when the question arrived."""

    retrieve_ms: float
    first_token_ms: float
    total_ms: float


class AnswerResponse(Schema):
    """An answer with its evidence: the document of `ask`."""

    question: str
    answer: str
    answered_by: AnsweredBy
    """`observations` where rows state the answer, `model`, or `nothing`."""
    evidence: list[EvidenceItem]
    nearest: list[EvidenceItem] = Field(default_factory=list)
    """The moments nearest to a question that nothing answers; not confirmed."""
    model_note: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """What the loaded model knows, where that is less than real footage."""
    searched_s: float
    left_out: list[LeftOutItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Spans that could not be searched, and are not in `searched_s`."""
    gaps: list[GapItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Stretches among what was searched in which a camera filmed nothing."""
    recalled_chunks: int
    images: int = Field(default=0, exclude_if=lambda value: not value)
    """Still images that were shown to the model."""
    recall: Recall
    model: str
    timing: AskTiming


class AskRequest(RequestModel):
    """A question, where to look, and the conversation it continues."""

    question: str
    videos: VideoIds = Field(default=[])
    cameras: CameraNames = Field(default=[])
    after: TimeBound = None
    before: TimeBound = None
    time_of_day: TimeOfDay = None
    recall: Literal["top", "overview", "all"] | None = None
    conversation_id: str | None = Field(default=None, max_length=64)
    images: list[str] = Field(default=[], max_length=64)
    """Still images as `data:image/jpeg;base64,...`, for models that read them; without a filter of
    videos the question is about these alone. They are kept with the conversation, scaled down."""
    images_alone: bool | None = None
    """Whether no video is searched; by default so where there are images and no filter."""

    @property
    def is_about_images_alone(self) -> bool:
        """Whether no video is to be searched."""
        if self.images_alone is not None:
            return self.images_alone
        filters = (self.videos, self.cameras, self.time_of_day)
        has_bounds = self.after is not None or self.before is not None
        return bool(self.images) and not any(filters) and not has_bounds


class AskResponse(AnswerResponse):
    """An answer, and the conversation it was stored in."""

    conversation_id: str
    image_urls: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Where the images beside the question are kept with the conversation."""
    searched: str
    """The duration of the video searched, in words."""


def describe_answer(
    question: str,
    answer: Answer,
    labels: VideoLabels,
    *,
    model_note: str | None = None,
    gaps: Sequence[GapItem] = (),
) -> AnswerResponse:
    """Return an answer as JSON.

    Args:
        question: As it was asked.
        answer: To it.
        labels: Names and clocks of videos.
        model_note: What the loaded model knows; `None` where that is real footage.
        gaps: Stretches of the scope in which a camera filmed nothing.
    """
    return AnswerResponse(
        question=question,
        answer=answer.text,
        answered_by=answer.answered_by,
        nearest=[describe_evidence(item, labels) for item in answer.nearest],
        model_note=model_note,
        evidence=[describe_evidence(item, labels) for item in answer.evidence],
        searched_s=answer.searched_s,
        left_out=describe_left_out(answer.left_out, labels),
        gaps=[*gaps],
        recalled_chunks=answer.recalled_chunks,
        images=answer.images,
        recall=answer.recall,
        model=answer.model_name,
        timing=describe_timing(answer.timing),
    )


def describe_timing(timing: AnswerTiming) -> AskTiming:
    """Return the durations of an answer as JSON."""
    return AskTiming(
        retrieve_ms=timing.retrieve_ms,
        first_token_ms=timing.first_token_ms,
        total_ms=timing.total_ms,
    )


def describe_evidence(evidence: Evidence, labels: VideoLabels) -> EvidenceItem:
    """Return a moment with the rows that it rests on as JSON."""
    return EvidenceItem(
        **describe_span(evidence.video, evidence.span, labels).model_dump(),
        score=evidence.score,
        origin=evidence.origin,
        keyframe_s=evidence.keyframe_s,
        observations=[describe_row(row) for row in evidence.observations[:MOST_GROUNDS]],
    )


def describe_row(row: Observation) -> EvidenceObservation:
    """Return a row that evidence rests on as JSON."""
    return EvidenceObservation(
        kind=row.kind,
        label=row.label,
        text=row.text,
        start_s=row.span.start_s,
        end_s=row.span.end_s,
        confidence=row.confidence,
        colours=list(row.colours),
        model=row.model,
    )
