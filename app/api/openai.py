"""OpenAI's chat completions over the library: videos are named, never fetched.

A part `{"type": "video_url", "video_url": {"url": "video://ID#t=60,120"}}` says where to look;
without one, every video that the user may see is searched. Evidence comes in the field
`longwatch`, never only in prose. Decoding options that are not ours are accepted and ignored.
"""

import json
import re
import secrets
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.openapi import content, failures
from app.schemas.ask import describe_answer
from app.schemas.errors import describe_error
from app.schemas.openai import ChatCompletionRequest, ChatMessage, TextPart, VideoPart
from app.services.ask import ask_stream
from app.services.scope import resolve_span
from engine.errors import InputRefusedError, LongwatchError
from engine.records import Answer, Scope, TimeSpan, Turn, VideoId
from engine.tensors import Token

router = APIRouter(tags=["openai"])

_NAME = re.compile(r"video://([\w-]{1,64})(?:#t=(\d+(?:\.\d+)?)?(?:,(\d+(?:\.\d+)?))?)?")


@router.get("/v1/models", summary="List models")
def list_models(context: Ctx, principal: CurrentUser) -> dict[str, object]:
    """Return the one model that answers here."""
    model = {"id": context.settings.model, "object": "model", "created": 0, "owned_by": "longwatch"}
    return {"object": "list", "data": [model]}


@router.post(
    "/v1/chat/completions",
    summary="Create a chat completion",
    response_model=None,
    responses={**content("application/json", "text/event-stream"), **failures(413, 429, 503)},
)
async def create_chat_completion(
    context: Ctx, principal: CurrentUser, body: ChatCompletionRequest
) -> Response:
    """Answer the last user message, with the turns before it as history."""
    question, history = _conversation(body.messages)
    scope = await run_in_threadpool(_scope, context, principal, body.messages)
    steps = _steps(context, question, scope, history)
    frame = {
        "id": f"chatcmpl-{secrets.token_hex(8)}",
        "created": int(time.time()),
        "model": context.settings.model,
    }
    if body.stream:
        return StreamingResponse(
            _stream(context, steps, frame, question), media_type="text/event-stream"
        )
    final: Answer | None = None
    async for step in steps:
        final = step if isinstance(step, Answer) else final
    assert final is not None, "an answer ends with its record"
    message = {"role": "assistant", "content": final.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse(
        {
            **frame,
            "object": "chat.completion",
            "choices": [choice],
            "longwatch": _proof(context, question, final),
        }
    )


async def _steps(
    context: AppContext, question: str, scope: Scope, history: tuple[Turn, ...]
) -> AsyncIterator[Token | Answer]:
    async with context.model_queue.slot():
        steps = await run_in_threadpool(
            lambda: ask_stream(context.services, question, scope, history=history)
        )
        async for step in iterate_in_threadpool(steps):
            yield step


async def _stream(
    context: AppContext,
    steps: AsyncIterator[Token | Answer],
    frame: dict[str, object],
    question: str,
) -> AsyncIterator[str]:
    def piece(delta: dict[str, str], finish: str | None = None, **more: object) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {**frame, "object": "chat.completion.chunk", "choices": [choice], **more}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    yield piece({"role": "assistant", "content": ""})
    try:
        async for step in steps:
            if isinstance(step, Answer):
                yield piece({}, "stop", longwatch=_proof(context, question, step))
            else:
                yield piece({"content": step.text})
    except LongwatchError as error:
        yield f"data: {describe_error(error).model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"


def _proof(context: AppContext, question: str, answer: Answer) -> dict[str, object]:
    """Return what supports the answer: the document of `ask` without question and answer."""
    document = describe_answer(question, answer, context.services.labels())
    return document.model_dump(exclude={"question", "answer"})


def _conversation(messages: list[ChatMessage]) -> tuple[str, tuple[Turn, ...]]:
    """Return the question and the turns before it; system messages are ignored."""
    spoken = [
        (message.role, _text(message))
        for message in messages
        if message.role in {"user", "assistant"}
    ]
    if not spoken or spoken[-1][0] != "user":
        raise InputRefusedError("the last message must be the user's question")
    turns, pending = [], ""
    for role, text in spoken[:-1]:
        if role == "user":
            pending = text
        elif pending:
            turns.append(Turn(question=pending, answer=text))
            pending = ""
    return spoken[-1][1], tuple(turns)


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def _scope(context: AppContext, principal: Principal, messages: list[ChatMessage]) -> Scope:
    urls = [
        part.video_url.url
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, VideoPart)
    ]
    if not urls:
        return context.scope(principal, [], None, None)
    return tuple(_named(context, principal, url) for url in urls)


def _named(context: AppContext, principal: Principal, url: str) -> tuple[VideoId, TimeSpan]:
    """Return the span that `video://ID#t=start,end` names; nothing is ever fetched."""
    match = _NAME.fullmatch(url)
    if match is None:
        raise InputRefusedError(
            f"{url!r} is not of the form video://ID#t=start,end",
            hint="add the video to the library and name its id",
        )
    video, start, end = match.groups()
    return resolve_span(
        context.services,
        video,
        start_s=float(start) if start else None,
        end_s=float(end) if end else None,
        access=principal,
    )
