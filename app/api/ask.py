"""Questions and searches, streamed or whole, and the conversations that hold them."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.api.audit import audit
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
    context: Ctx, principal: CurrentUser, request: Request, body: AskRequest
) -> AskResponse | StreamingResponse:
    """Answer a question; with `Accept: text/event-stream` as the events plan, token and done."""
    prepared = await run_in_threadpool(_prepare, context, principal, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        events = _as_events(context, principal, body, prepared)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
    final: AskResponse | None = None
    async for step in _steps(context, principal, body, prepared):
        final = step if isinstance(step, AskResponse) else final
    assert final is not None, "the last step is the answer"
    return final


@router.post(
    "/search", tags=["ask"], summary="Search for moments", responses=failures(413, 429, 503)
)
async def search(context: Ctx, principal: CurrentUser, body: SearchRequest) -> SearchResponse:
    """Return the moments that match a description, or look like a frame; best first."""
    scope = await run_in_threadpool(_search_scope, context, principal, body)
    async with context.model_queue.slot():
        response = await run_in_threadpool(
            lambda: find(context.services, body.query, scope, like=body.like, top=body.top)
        )
    response.searched = format_duration(response.searched_s)
    for hit in response.hits:
        hit.thumb_url = f"/media/{hit.video_id}/frame.jpg?t={hit.peak_s:.1f}"
    return response


@router.get("/conversations", tags=["conversations"], summary="List conversations")
def list_conversations(context: Ctx, principal: CurrentUser) -> ConversationsResponse:
    """Return the user's conversations, the most recently used first."""
    return ConversationsResponse(
        conversations=conversations.list_conversations(
            context.services, principal.user.id, principal
        )
    )


@router.get(
    "/conversations/{conversation_id}", tags=["conversations"], summary="Get a conversation"
)
def get_conversation(
    context: Ctx, principal: CurrentUser, conversation_id: str
) -> ConversationResponse:
    """Return the questions and answers of a conversation, in order, with their evidence."""
    return conversations.show_conversation(
        context.services, principal.user.id, principal, conversation_id
    )


@router.delete(
    "/conversations/{conversation_id}",
    tags=["conversations"],
    summary="Delete a conversation",
    status_code=204,
)
def delete_conversation(context: Ctx, principal: CurrentUser, conversation_id: str) -> Response:
    """Delete a conversation with its questions and answers."""
    conversations.remove_conversation(context.services, principal.user.id, conversation_id)
    audit(principal, "deleted conversation", conversation_id)
    return Response(status_code=204)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A checked question: where to look, and the turns before it."""

    scope: Scope
    history: tuple[Turn, ...] = ()
    conversation: ConversationRow | None = None


def _prepare(context: AppContext, principal: Principal, body: AskRequest) -> _Prepared:
    """Check everything before the first byte of an answer, while a status can still say so."""
    check_text(context.services, "question", body.question)
    scope = context.scope(principal, body.videos, body.after, body.before)
    if body.conversation_id is None:
        return _Prepared(scope)
    row = conversations.find_conversation(context.services, principal.user.id, body.conversation_id)
    return _Prepared(scope, conversations.read_history(context.services, row), row)


async def _steps(
    context: AppContext, principal: Principal, body: AskRequest, prepared: _Prepared
) -> AsyncIterator[str | AskResponse]:
    """Yield the tokens of the answer as they come, then the answer."""
    async with context.model_queue.slot():
        # The model may have to be loaded first, so even the call itself is off the event loop.
        steps: Iterator[Token | Answer] = await run_in_threadpool(
            lambda: ask_stream(
                context.services,
                body.question,
                prepared.scope,
                history=prepared.history,
                recall=body.recall,
            )
        )
        async for step in iterate_in_threadpool(steps):
            if isinstance(step, Answer):
                yield await run_in_threadpool(_keep, context, principal, body, prepared, step)
            else:
                yield step.text


async def _as_events(
    context: AppContext, principal: Principal, body: AskRequest, prepared: _Prepared
) -> AsyncIterator[str]:
    """Yield the same as server-sent events; a failure after the start is an event too."""
    plan = _plan(context, prepared.scope)
    yield _event("plan", {"text": plan, "waiting": context.model_queue.waiting})
    try:
        async for step in _steps(context, principal, body, prepared):
            if isinstance(step, str):
                yield _event("token", step)
            else:
                yield _event("done", step.model_dump())
    except LongwatchError as error:
        yield _event("error", describe_error(error).model_dump()["error"])


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _plan(context: AppContext, scope: Scope) -> str:
    """Return what is about to be searched, in words."""
    labels = context.services.labels()
    names = [labels[video].name for video, _ in scope if video in labels]
    where = names[0] if len(names) == 1 else f"{len(names)} videos"
    return f"Searching {where}"


def _keep(
    context: AppContext, principal: Principal, body: AskRequest, prepared: _Prepared, answer: Answer
) -> AskResponse:
    """Store the turn, in a new conversation if there is none."""
    conversation_id = conversations.keep_turn(
        context.services,
        principal.user.id,
        prepared.conversation,
        body.videos,
        body.question,
        answer,
    )
    response = describe_answer(body.question, answer, context.services.labels())
    return AskResponse(
        **response.model_dump(),
        conversation_id=conversation_id,
        searched=format_duration(answer.searched_s),
    )


def _search_scope(context: AppContext, principal: Principal, body: SearchRequest) -> Scope:
    scope = context.scope(principal, body.videos, body.after, body.before)
    if body.like is not None:
        context.video(principal, body.like.video_id)
    return (
        scope if body.time_of_day is None else keep_hours(context.services, scope, body.time_of_day)
    )
