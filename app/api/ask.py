"""Questions and searches, streamed or whole, and the conversations that hold them."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api.audit import audit
from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.openapi import content, failures
from app.api.questions import (
    PreparedQuestion,
    answer_steps,
    plan_text,
    prepare_question,
    search_moments,
)
from app.schemas.ask import AskRequest, AskResponse
from app.schemas.common import RowNumber
from app.schemas.conversations import (
    ConversationResponse,
    ConversationsResponse,
)
from app.schemas.errors import describe_error
from app.schemas.search import SearchRequest, SearchResponse
from app.services import conversations
from engine.errors import LongwatchError

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
    prepared = await run_in_threadpool(prepare_question, context, principal, body)
    if "text/event-stream" in request.headers.get("accept", ""):
        events = _as_events(context, principal, body, prepared)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
    final: AskResponse | None = None
    async for step in answer_steps(context, principal, body, prepared):
        final = step if isinstance(step, AskResponse) else final
    assert final is not None, "the last step is the answer"
    return final


@router.post(
    "/search", tags=["ask"], summary="Search for moments", responses=failures(413, 429, 503)
)
async def search(context: Ctx, principal: CurrentUser, body: SearchRequest) -> SearchResponse:
    """Return the moments that match a description, or look like a frame; best first."""
    return await search_moments(context, principal, body)


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


@router.get(
    "/conversations/{conversation_id}/turns/{turn}/images/{image}.jpg",
    tags=["conversations"],
    summary="Get an image beside a question",
    response_class=Response,
    responses=content("image/jpeg"),
)
def get_image(
    context: Ctx, principal: CurrentUser, conversation_id: str, turn: RowNumber, image: RowNumber
) -> Response:
    """Return an image that was shown beside a question, as it is kept with the conversation."""
    jpeg = conversations.turn_image(
        context.services, principal.user.id, conversation_id, turn, image
    )
    headers = {"cache-control": "private, max-age=86400"}
    return Response(jpeg, media_type="image/jpeg", headers=headers)


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


async def _as_events(
    context: AppContext, principal: Principal, body: AskRequest, prepared: PreparedQuestion
) -> AsyncIterator[str]:
    """Yield the same as server-sent events; a failure after the start is an event too."""
    plan = plan_text(context, prepared.scope)
    queue, user = context.model_queue, principal.user.id
    yield _event(
        "plan", {"text": plan, "waiting": queue.ahead_of(user), "wait_s": queue.wait_s(user)}
    )
    try:
        async for step in answer_steps(context, principal, body, prepared):
            if isinstance(step, str):
                yield _event("token", step)
            else:
                yield _event("done", step.model_dump())
    except LongwatchError as error:
        yield _event("error", describe_error(error).model_dump()["error"])


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
