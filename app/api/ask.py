"""Questions and searches, streamed or whole, and the conversations they are kept in."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, time, timedelta

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.openapi import failures
from app.schemas.ask import AskRequest, AskResponse, describe_answer
from app.schemas.common import VideoLabels, describe_span
from app.schemas.conversations import (
    ConversationItem,
    ConversationResponse,
    ConversationsResponse,
    TurnItem,
)
from app.schemas.errors import describe_error
from app.schemas.search import FrameRef, SearchHit, SearchRequest, SearchResponse, SearchTiming
from app.services.context import Scope
from app.timefmt import format_duration
from engine.errors import InputRefusedError, LongwatchError, NotFoundError
from engine.pipeline.evidence import SearchResult
from engine.pipeline.evidence import search as search_words
from engine.pipeline.similar import like_frame
from engine.records import Answer, Evidence, TimeSpan, Turn, VideoId
from engine.tensors import Token
from storage.records import ConversationId, ConversationRow, TurnRow

TURNS_KEPT_IN_MIND = 4
"""Earlier turns that the model is shown."""
TITLE_CHARS = 80
_MOMENT_S = 4.0
"""Least length of a moment around a similar frame."""

router = APIRouter(prefix="/api/v1")


@router.post(
    "/ask",
    tags=["ask"],
    summary="Ask a question",
    response_model=AskResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **failures(413, 429, 503)},
)
async def ask(
    desk: Ctx, who: CurrentUser, request: Request, body: AskRequest
) -> AskResponse | StreamingResponse:
    """Answer a question; with `Accept: text/event-stream` as the events plan, token and done."""
    asked = await run_in_threadpool(_prepare, desk, who, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        events = _as_events(desk, who, body, asked)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
    final: AskResponse | None = None
    async for step in _steps(desk, who, body, asked):
        final = step if isinstance(step, AskResponse) else final
    assert final is not None, "an answer ends with its document"
    return final


@router.post(
    "/search", tags=["ask"], summary="Search for moments", responses=failures(413, 429, 503)
)
async def search(desk: Ctx, who: CurrentUser, body: SearchRequest) -> SearchResponse:
    """Return the moments that match a description, or look like a frame; best first."""
    if bool(body.query.strip()) == (body.like is not None):
        raise InputRefusedError("search for words or for a frame, one of them")
    scope = await run_in_threadpool(_search_scope, desk, who, body)
    async with desk.lane.turn():
        return await run_in_threadpool(_found, desk, who, body, scope)


@router.get("/conversations", tags=["conversations"], summary="List conversations")
def list_conversations(desk: Ctx, who: CurrentUser) -> ConversationsResponse:
    """Return the user's conversations, the most recently used first."""
    rows = desk.catalog.conversations.listed(who.user.id, limit=100)
    return ConversationsResponse(conversations=[_conversation(row) for row in rows])


@router.get(
    "/conversations/{conversation_id}", tags=["conversations"], summary="Get a conversation"
)
def get_conversation(desk: Ctx, who: CurrentUser, conversation_id: str) -> ConversationResponse:
    """Return the questions and answers of a conversation, in order, with their evidence."""
    row = _own(desk, who, conversation_id)
    labels = desk.service.labels()
    turns = desk.catalog.conversations.turns(row.id)
    return ConversationResponse(
        **_conversation(row).model_dump(),
        turns=[_turn(who, turn, labels) for turn in turns],
    )


@router.delete(
    "/conversations/{conversation_id}",
    tags=["conversations"],
    summary="Delete a conversation",
    status_code=204,
)
def delete_conversation(desk: Ctx, who: CurrentUser, conversation_id: str) -> Response:
    """Delete a conversation with its questions and answers."""
    desk.catalog.conversations.remove(_own(desk, who, conversation_id).id)
    return Response(status_code=204)


class _Asked:
    """A question that may be asked: where to look and what was said before."""

    def __init__(self, scope: Scope, history: tuple[Turn, ...], talk: ConversationId | None):
        self.scope = scope
        self.history = history
        self.talk = talk


def _prepare(desk: AppContext, who: Principal, body: AskRequest) -> _Asked:
    scope = desk.scope(who, body.videos, body.after, body.before)
    if body.conversation_id is None:
        return _Asked(scope, (), None)
    talk = _own(desk, who, body.conversation_id)
    turns = desk.catalog.conversations.turns(talk.id)[-TURNS_KEPT_IN_MIND:]
    history = tuple(Turn(question=turn.question, answer=turn.answer) for turn in turns)
    return _Asked(scope, history, talk.id)


async def _steps(
    desk: AppContext, who: Principal, body: AskRequest, asked: _Asked
) -> AsyncIterator[str | AskResponse]:
    """The answer's words as they come, then its document."""
    async with desk.lane.turn():
        # The model may have to be loaded first, so even the call itself is off the event loop.
        steps: Iterator[Token | Answer] = await run_in_threadpool(
            lambda: desk.service.ask_stream(
                body.question, asked.scope, history=asked.history, recall=body.recall
            )
        )
        async for step in iterate_in_threadpool(steps):
            if isinstance(step, Answer):
                yield await run_in_threadpool(_keep, desk, who, body, asked, step)
            else:
                yield step.text


async def _as_events(
    desk: AppContext, who: Principal, body: AskRequest, asked: _Asked
) -> AsyncIterator[str]:
    """The same as server-sent events; what goes wrong after the start is an event too."""
    plan = _plan(desk, asked.scope)
    yield _event("plan", {"text": plan, "waiting": desk.lane.waiting})
    try:
        async for step in _steps(desk, who, body, asked):
            if isinstance(step, str):
                yield _event("token", step)
            else:
                yield _event("done", step.model_dump())
    except LongwatchError as error:
        yield _event("error", describe_error(error).model_dump()["error"])


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _plan(desk: AppContext, scope: Scope) -> str:
    """What is about to be searched, in words."""
    labels = desk.service.labels()
    names = [labels[video].name for video, _ in scope if video in labels]
    where = names[0] if len(names) == 1 else f"{len(names)} videos"
    return f"Searching {where}"


def _keep(
    desk: AppContext, who: Principal, body: AskRequest, asked: _Asked, answer: Answer
) -> AskResponse:
    """Write the turn down, beginning a conversation if there is none."""
    talks = desk.catalog.conversations
    talk = asked.talk
    if talk is None:
        title = " ".join(body.question.split())[:TITLE_CHARS]
        videos = tuple(VideoId(video) for video in body.videos)
        talk = talks.add(title, user=who.user.id, videos=videos).id
    talks.add_turn(talk, body.question, answer)
    document = describe_answer(body.question, answer, desk.service.labels())
    return AskResponse(
        **document.model_dump(), conversation_id=talk, searched=format_duration(answer.searched_s)
    )


def _search_scope(desk: AppContext, who: Principal, body: SearchRequest) -> Scope:
    scope = desk.scope(who, body.videos, body.after, body.before)
    if body.like is not None:
        desk.video(who, body.like.video_id)
    if body.time_of_day is None:
        return scope
    spans = tuple(
        (video, part)
        for video, span in scope
        for part in _nightly(desk, video, span, body.time_of_day)
    )
    if not spans:
        raise NotFoundError(
            f"no video reaches into {body.time_of_day}",
            hint="only videos with a wall clock have a time of day",
        )
    return spans


def _nightly(desk: AppContext, video: VideoId, span: TimeSpan, hours: str) -> Iterator[TimeSpan]:
    """The stretches of a video that lie within these hours of each day (UTC)."""
    row = desk.catalog.videos.get(video)
    if row.start_at is None:
        return
    first, last = (time.fromisoformat(text) for text in hours.split("-"))
    length = (
        datetime.combine(datetime.min, last) - datetime.combine(datetime.min, first)
    ) % timedelta(days=1) or timedelta(days=1)
    end_s = min(span.end_s, row.ingested_s)
    begin = row.start_at.astimezone(UTC)
    day = (begin + timedelta(seconds=span.start_s)).date() - timedelta(days=1)
    while True:
        opens = datetime.combine(day, first, tzinfo=UTC)
        start_s = (opens - begin).total_seconds()
        if start_s >= end_s:
            return
        part = (max(span.start_s, start_s), min(end_s, start_s + length.total_seconds()))
        if part[0] < part[1]:
            yield TimeSpan(start_s=part[0], end_s=part[1])
        day += timedelta(days=1)


def _found(desk: AppContext, who: Principal, body: SearchRequest, scope: Scope) -> SearchResponse:
    engine = desk.service.engine
    if body.like is None:
        if len(body.query) > desk.settings.limits.question_chars:
            raise InputRefusedError(
                f"a query has at most {desk.settings.limits.question_chars} characters"
            )
        found = search_words(engine, body.query, scope=scope, top=body.top)
    else:
        found = _alike(desk, body.like, scope, body.top)
    labels = desk.service.labels()
    return SearchResponse(
        query=body.query,
        hits=[_hit(rank, one, labels) for rank, one in enumerate(found.moments, start=1)],
        captions=(
            desk.service.search_captions(body.query, scope, top=body.top)
            if body.like is None
            else []
        ),
        searched_s=found.searched_s,
        searched=format_duration(found.searched_s),
        timing=SearchTiming(total_ms=found.total_ms),
    )


def _alike(desk: AppContext, like: FrameRef, scope: Scope, top: int) -> SearchResult:
    started = datetime.now(UTC)
    hits = like_frame(
        desk.service.engine, VideoId(like.video_id), like.time_s, scope=scope, top=top
    )
    moments = tuple(
        Evidence(
            video=hit.chunk.video,
            span=TimeSpan(
                start_s=max(hit.chunk.span.start_s, hit.peak_s - _MOMENT_S / 2),
                end_s=min(hit.chunk.span.end_s, hit.peak_s + _MOMENT_S / 2),
            ),
            score=min(1.0, max(0.0, hit.score)),
            origin="retrieval",
            keyframe_s=hit.peak_s,
        )
        for hit in hits
    )
    ends = {row.id: row.ingested_s for row in desk.catalog.videos.listed()}
    searched_s = sum(min(span.end_s, ends[video]) - span.start_s for video, span in scope)
    took_ms = (datetime.now(UTC) - started).total_seconds() * 1000
    return SearchResult(query="", moments=moments, searched_s=searched_s, total_ms=took_ms)


def _hit(rank: int, moment: Evidence, labels: VideoLabels) -> SearchHit:
    return SearchHit(
        **describe_span(moment.video, moment.span, labels).model_dump(),
        rank=rank,
        peak_s=moment.keyframe_s,
        score=moment.score,
        thumb_url=f"/media/{moment.video}/frame.jpg?t={moment.keyframe_s:.1f}",
    )


def _own(desk: AppContext, who: Principal, conversation_id: str) -> ConversationRow:
    """A conversation, if it is this user's: to anyone else it does not exist."""
    row = desk.catalog.conversations.get(ConversationId(conversation_id))
    if row.user != who.user.id:
        raise NotFoundError(f"no conversation {conversation_id!r}")
    return row


def _conversation(row: ConversationRow) -> ConversationItem:
    return ConversationItem(
        conversation_id=row.id,
        title=row.title,
        videos=list(row.videos),
        updated_at=row.updated_at.isoformat(),
    )


def _turn(who: Principal, turn: TurnRow, labels: VideoLabels) -> TurnItem:
    """A turn as it was; evidence of videos that were taken away since stays away."""
    return TurnItem(
        question=turn.question,
        answer=turn.answer,
        evidence=[
            {
                **describe_span(one.video, one.span, labels).model_dump(),
                "score": one.score,
                "origin": one.origin,
                "keyframe_s": one.keyframe_s,
            }
            for one in turn.evidence
            if who.may_see(one.video)
        ],
        searched=format_duration(turn.searched_s),
        recalled_chunks=turn.recalled_chunks,
        recall=turn.recall,
        model=turn.model,
        created_at=turn.created_at.isoformat(),
    )
