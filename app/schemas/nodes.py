"""Questions that one server of a library hands to another, and what comes back."""

import math
from collections.abc import Iterable
from typing import Self

from app.schemas.common import RequestModel, Schema
from engine.records import (
    AnsweredBy,
    Evidence,
    MomentKind,
    Origin,
    Recall,
    Scope,
    TimeSpan,
    VideoId,
    VideoStretch,
)


class NodeSpan(Schema):
    """A span of a video; without an end it is all that there is."""

    video: str
    start_s: float
    end_s: float | None

    @classmethod
    def of(cls, video: VideoId, span: TimeSpan) -> Self:
        """Return a span as JSON, which has no infinity."""
        end_s = None if math.isinf(span.end_s) else span.end_s
        return cls(video=video, start_s=span.start_s, end_s=end_s)

    def span(self) -> TimeSpan:
        """Return the span."""
        return TimeSpan(start_s=self.start_s, end_s=math.inf if self.end_s is None else self.end_s)


class NodeSearch(RequestModel):
    """A search over the videos of one server."""

    query: str
    spans: list[NodeSpan]
    top: int
    kinds: list[MomentKind]
    labels: list[str]


class NodeMoment(Schema):
    """A moment that a source there proposes, with its calibrated support."""

    where: NodeSpan
    peak_s: float
    kind: MomentKind
    relevance: float
    log_odds: float
    source: str
    text: str


class NodeFound(Schema):
    """The moments that a server has found."""

    moments: list[NodeMoment]
    searched_s: float
    left_out: list[NodeSpan]


class NodeTurn(Schema):
    """One earlier question and its answer."""

    question: str
    answer: str


class NodeSampling(Schema):
    """The drawing of tokens."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int


class NodeQuestion(RequestModel):
    """A question about the videos of one server."""

    question: str
    spans: list[NodeSpan]
    history: list[NodeTurn]
    recall: Recall | None
    sampling: NodeSampling
    instructions: str


class NodeEvidence(Schema):
    """A moment that supports an answer, or is near a question."""

    where: NodeSpan
    score: float
    origin: Origin
    keyframe_s: float


class NodeAnswer(Schema):
    """The answer of one server."""

    text: str
    answered_by: AnsweredBy
    evidence: list[NodeEvidence]
    nearest: list[NodeEvidence]
    searched_s: float
    recalled_chunks: int
    recall: Recall
    left_out: list[NodeSpan]


def node_spans(scope: Scope) -> list[NodeSpan]:
    """Return a scope as JSON."""
    return [NodeSpan.of(video, span) for video, span in scope]


def scope_of(spans: Iterable[NodeSpan]) -> Scope:
    """Return the scope of a request."""
    return tuple((VideoId(item.video), item.span()) for item in spans)


def stretches_of(spans: Iterable[NodeSpan]) -> tuple[VideoStretch, ...]:
    """Return what a server could not search."""
    return tuple(VideoStretch(video=VideoId(item.video), span=item.span()) for item in spans)


def node_evidence(items: Iterable[Evidence]) -> list[NodeEvidence]:
    """Return evidence as JSON; the rows that it rests on are in the database of all."""
    return [
        NodeEvidence(
            where=NodeSpan.of(item.video, item.span),
            score=item.score,
            origin=item.origin,
            keyframe_s=item.keyframe_s,
        )
        for item in items
    ]


def evidence_of(items: Iterable[NodeEvidence]) -> tuple[Evidence, ...]:
    """Return evidence of another server."""
    return tuple(
        Evidence(
            video=VideoId(item.where.video),
            span=item.where.span(),
            score=item.score,
            origin=item.origin,
            keyframe_s=item.keyframe_s,
        )
        for item in items
    )
