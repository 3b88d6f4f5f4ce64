"""Questions and searches over what was ingested."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from app.schemas.ask import AnswerResponse, describe_answer
from app.schemas.captions import CaptionItem, describe_caption
from app.schemas.common import describe_span
from app.schemas.search import FrameRef, SearchHit, SearchResponse, SearchTiming
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, LimitExceededError
from engine.pipeline.answer import answer
from engine.pipeline.evidence import within_scope
from engine.pipeline.search import SearchResult
from engine.pipeline.search import search as search_moments
from engine.pipeline.similar import like_frame
from engine.protocols import Sampling
from engine.records import Answer, Evidence, Recall, Scope, TimeSpan, Turn, VideoId
from engine.tensors import Token

SIMILAR_MOMENT_S: Final = 4.0
"""Length of a moment around a frame that looks like another."""


def check_text(context: ServiceContext, what: str, text: str) -> None:
    """Refuse a question or query that is empty or longer than the setting allows.

    Args:
        what: The kind of text, for the message: "question" or "query".
    Raises:
        InputRefusedError: It holds no letters.
        LimitExceededError: It has more characters than `limits.question_chars`.
    """
    most_chars = context.settings.limits.question_chars
    if not text.strip():
        raise InputRefusedError(f"the {what} is empty", hint="say what you want to know")
    if len(text) > most_chars:
        raise LimitExceededError(
            f"the length of the {what}",
            f"{len(text)} characters",
            f"{most_chars} characters",
            field="question_chars",
        )


def ask(
    context: ServiceContext,
    question: str,
    scope: Scope,
    *,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
    on_token: Callable[[str], None] = lambda text: None,
) -> AnswerResponse:
    """Answer a question; `on_token` gets the words as they come."""
    for step in ask_stream(context, question, scope, history=history, recall=recall):
        if isinstance(step, Answer):
            return describe_answer(question, step, context.labels())
        on_token(step.text)
    raise AssertionError("the last step of an answer is the Answer")


def ask_stream(
    context: ServiceContext,
    question: str,
    scope: Scope,
    *,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
) -> Iterator[Token | Answer]:
    """Return the tokens of an answer as they come, then the Answer.

    Args:
        recall: Which chunks the model reads; the setting `retrieval.recall` when `None`.
    """
    check_text(context, "question", question)
    settings = context.settings
    chosen = settings.retrieval.recall
    return answer(
        context.engine,
        question,
        scope=scope,
        sampling=Sampling(max_tokens=settings.limits.answer_tokens),
        history=history,
        recall=recall or (None if chosen == "auto" else chosen),
    )


def search(
    context: ServiceContext,
    query: str,
    scope: Scope,
    *,
    like: FrameRef | None = None,
    top: int = 10,
) -> SearchResponse:
    """Find the moments that match a description, or that look like a frame; best first.

    Args:
        like: The frame, in place of words.
    Raises:
        InputRefusedError: Words and a frame, or neither.
    """
    if like is None:
        check_text(context, "query", query)
        result = search_moments(context.engine, query, scope=scope, top=top)
        captions = search_captions(context, query, scope, top=top)
    elif query.strip():
        raise InputRefusedError("search for words or for a frame, not for both")
    else:
        result, captions = _search_like(context, like, scope, top), []
    labels = context.labels()
    hits = [
        SearchHit(
            **describe_span(moment.video, moment.span, labels).model_dump(),
            rank=rank,
            peak_s=moment.keyframe_s,
            score=moment.score,
        )
        for rank, moment in enumerate(result.moments, start=1)
    ]
    return SearchResponse(
        query=query,
        hits=hits,
        captions=captions,
        searched_s=result.searched_s,
        timing=SearchTiming(total_ms=result.total_ms),
    )


def search_captions(
    context: ServiceContext, query: str, scope: Scope, *, top: int | None = None
) -> list[CaptionItem]:
    """Find the captions that hold words of a query.

    They stand beside the hits of vectors and are never mixed into them: shared words and cosines
    are not scores of one kind.
    """
    check_text(context, "query", query)
    labels = context.labels()
    return [
        describe_caption(match.caption, labels, share=match.share)
        for match in context.catalog.captions.matching(query, scope, top=top)
    ]


def _search_like(context: ServiceContext, like: FrameRef, scope: Scope, top: int) -> SearchResult:
    """Find the moments that look like a frame, each of them a few seconds around its peak."""
    started = time.monotonic()
    hits = like_frame(context.engine, VideoId(like.video_id), like.time_s, scope=scope, top=top)
    around = (
        Evidence(
            video=hit.chunk.video,
            span=TimeSpan(
                start_s=max(hit.chunk.span.start_s, hit.peak_s - SIMILAR_MOMENT_S / 2),
                end_s=min(hit.chunk.span.end_s, hit.peak_s + SIMILAR_MOMENT_S / 2),
            ),
            score=min(1.0, max(0.0, hit.score)),
            origin="retrieval",
            keyframe_s=hit.peak_s,
        )
        for hit in hits
    )
    moments = within_scope(around, scope)
    ends = {row.id: row.ingested_s for row in context.catalog.videos.list()}
    return SearchResult(
        query="",
        moments=moments,
        searched_s=sum(min(span.end_s, ends[video]) - span.start_s for video, span in scope),
        total_ms=(time.monotonic() - started) * 1000,
    )
