"""Questions and searches, streamed or whole, and the conversations they are kept in."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.openapi import failures
from app.schemas.ask import AskRequest, AskResponse, describe_answer
from app.schemas.conversations import (
    ConversationResponse,
    ConversationsResponse,
)
from app.schemas.errors import describe_error
from app.schemas.search import SearchRequest, SearchResponse
from app.services import conversations
from app.services.ask import ask_stream, check_text
from app.services.ask import search as find
from app.services.scope import keep_hours
from app.timefmt import format_duration
from engine.errors import LongwatchError
from engine.records import Answer, Scope, Turn
from engine.tensors import Token
from storage.records import ConversationRow

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
    prepared = await run_in_threadpool(_prepare, desk, who, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        events = _as_events(desk, who, body, prepared)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
    final: AskResponse | None = None
    async for step in _steps(desk, who, body, prepared):
        final = step if isinstance(step, AskResponse) else final
    assert final is not None, "an answer ends with its document"
    return final


@router.post(
    "/search", tags=["ask"], summary="Search for moments", responses=failures(413, 429, 503)
)
async def search(desk: Ctx, who: CurrentUser, body: SearchRequest) -> SearchResponse:
    """Return the moments that match a description, or look like a frame; best first."""
    scope = await run_in_threadpool(_search_scope, desk, who, body)
    async with desk.lane.turn():
        response = await run_in_threadpool(
            lambda: find(desk.services, body.query, scope, like=body.like, top=body.top)
        )
    response.searched = format_duration(response.searched_s)
    for hit in response.hits:
        hit.thumb_url = f"/media/{hit.video_id}/frame.jpg?t={hit.peak_s:.1f}"
    return response


@router.get("/conversations", tags=["conversations"], summary="List conversations")
def list_conversations(desk: Ctx, who: CurrentUser) -> ConversationsResponse:
    """Return the user's conversations, the most recently used first."""
    return ConversationsResponse(
        conversations=conversations.list_conversations(desk.services, who.user.id, who)
    )


@router.get(
    "/conversations/{conversation_id}", tags=["conversations"], summary="Get a conversation"
)
def get_conversation(desk: Ctx, who: CurrentUser, conversation_id: str) -> ConversationResponse:
    """Return the questions and answers of a conversation, in order, with their evidence."""
    return conversations.show_conversation(desk.services, who.user.id, who, conversation_id)


@router.delete(
    "/conversations/{conversation_id}",
    tags=["conversations"],
    summary="Delete a conversation",
    status_code=204,
)
def delete_conversation(desk: Ctx, who: CurrentUser, conversation_id: str) -> Response:
    """Delete a conversation with its questions and answers."""
    conversations.remove_conversation(desk.services, who.user.id, conversation_id)
    return Response(status_code=204)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question that may be asked: where to look and what was said before."""

    scope: Scope
    history: tuple[Turn, ...] = ()
    conversation: ConversationRow | None = None


def _prepare(desk: AppContext, who: Principal, body: AskRequest) -> _Prepared:
    """Check everything before the first byte of an answer, while a status can still say so."""
    check_text(desk.services, "question", body.question)
    scope = desk.scope(who, body.videos, body.after, body.before)
    if body.conversation_id is None:
        return _Prepared(scope)
    row = conversations.find_conversation(desk.services, who.user.id, body.conversation_id)
    return _Prepared(scope, conversations.read_history(desk.services, row), row)


async def _steps(
    desk: AppContext, who: Principal, body: AskRequest, prepared: _Prepared
) -> AsyncIterator[str | AskResponse]:
    """Yield the words of an answer as they come, then its document."""
    async with desk.lane.turn():
        # The model may have to be loaded first, so even the call itself is off the event loop.
        steps: Iterator[Token | Answer] = await run_in_threadpool(
            lambda: ask_stream(
                desk.services,
                body.question,
                prepared.scope,
                history=prepared.history,
                recall=body.recall,
            )
        )
        async for step in iterate_in_threadpool(steps):
            if isinstance(step, Answer):
                yield await run_in_threadpool(_keep, desk, who, body, prepared, step)
            else:
                yield step.text


async def _as_events(
    desk: AppContext, who: Principal, body: AskRequest, prepared: _Prepared
) -> AsyncIterator[str]:
    """Yield the same as server-sent events; what fails after the start is an event too."""
    plan = _plan(desk, prepared.scope)
    yield _event("plan", {"text": plan, "waiting": desk.lane.waiting})
    try:
        async for step in _steps(desk, who, body, prepared):
            if isinstance(step, str):
                yield _event("token", step)
            else:
                yield _event("done", step.model_dump())
    except LongwatchError as error:
        yield _event("error", describe_error(error).model_dump()["error"])


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _plan(desk: AppContext, scope: Scope) -> str:
    """Return in words what is about to be searched."""
    labels = desk.services.labels()
    names = [labels[video].name for video, _ in scope if video in labels]
    where = names[0] if len(names) == 1 else f"{len(names)} videos"
    return f"Searching {where}"


def _keep(
    desk: AppContext, who: Principal, body: AskRequest, prepared: _Prepared, answer: Answer
) -> AskResponse:
    """Write the turn down, beginning a conversation if there is none."""
    conversation_id = conversations.keep_turn(
        desk.services, who.user.id, prepared.conversation, body.videos, body.question, answer
    )
    response = describe_answer(body.question, answer, desk.services.labels())
    return AskResponse(
        **response.model_dump(),
        conversation_id=conversation_id,
        searched=format_duration(answer.searched_s),
    )


def _search_scope(desk: AppContext, who: Principal, body: SearchRequest) -> Scope:
    scope = desk.scope(who, body.videos, body.after, body.before)
    if body.like is not None:
        desk.video(who, body.like.video_id)
    return scope if body.time_of_day is None else keep_hours(desk.services, scope, body.time_of_day)
