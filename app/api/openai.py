"""OpenAI's chat completions and embeddings over the library: videos are named, never fetched.

A part `{"type": "video_url", "video_url": {"url": "video://ID#t=60,120"}}` says where to look, by
id or by name; without one, every video that the user may see is searched, unless there are images:
`image_url` parts with `data:` addresses, for models that read them. Evidence comes in the field
`longwatch`, never only in prose. What OpenAI offers and is not done here (tools, several answers)
is refused with a sentence; fields that we do not know are ignored.
"""

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.errors import openai_error
from app.api.openapi import content, failures
from app.schemas.ask import describe_answer
from app.schemas.openai import ChatCompletionRequest, EmbeddingsRequest
from app.services.ask import ask_stream, model_note
from app.services.chat import Chat, TextCutter, check_model, read_chat
from app.services.embeddings import embed
from engine.errors import InputRefusedError, LongwatchError
from engine.records import Answer
from engine.tensors import Token

router = APIRouter(tags=["openai"])


@router.get("/v1/models", summary="List models")
def list_models(context: Ctx, principal: CurrentUser) -> dict[str, object]:
    """Return the one model that answers here."""
    return {"object": "list", "data": [_describe_model(context)]}


@router.get("/v1/models/{model:path}", summary="Get a model", responses=failures(404))
def get_model(context: Ctx, principal: CurrentUser, model: str) -> dict[str, object]:
    """Return the model that answers here, if it has this name."""
    check_model(context.services, model)
    return _describe_model(context)


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
    chat = await run_in_threadpool(read_chat, context.services, body, principal)
    steps = context.model_queue.answer(principal.user.id, lambda: _start(context, chat))
    frame = {
        "id": f"chatcmpl-{secrets.token_hex(8)}",
        "created": int(time.time()),
        "model": context.settings.model,
    }
    cutter = TextCutter(context.services, chat.stop, chat.most_tokens)
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        events = _stream(context, steps, frame, chat, cutter, with_usage=with_usage)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )
    final: Answer | None = None
    async for step in steps:
        if isinstance(step, Answer):
            final = step
        else:
            cutter.feed(step.text)
    assert final is not None, "an answer ends with its record"
    cutter.close(is_whole=_is_whole(chat, cutter, final))
    message = {"role": "assistant", "content": cutter.text.strip(), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": cutter.finish_reason,
    }
    return JSONResponse(
        {
            **frame,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(chat, cutter),
            "longwatch": _proof(context, chat.question, final),
        }
    )


@router.post(
    "/v1/embeddings", summary="Create embeddings", responses=failures(404, 413, 429, 501, 503)
)
async def create_embeddings(
    context: Ctx, principal: CurrentUser, body: EmbeddingsRequest
) -> dict[str, object]:
    """Place texts, and frames named `video://ID#t=12.5`, in the space that search compares."""
    check_model(context.services, body.model)
    inputs = [body.input] if isinstance(body.input, str) else body.input
    async with context.model_queue.slot(principal.user.id):
        embeddings = await run_in_threadpool(
            lambda: [embed(context.services, text, principal) for text in inputs]
        )
    width = len(embeddings[0].vector)
    if body.dimensions not in {None, width}:
        raise InputRefusedError(f"dimensions is {body.dimensions}, the space here has {width}")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _numbers(embedding.vector, as_text=body.encoding_format == "base64"),
        }
        for index, embedding in enumerate(embeddings)
    ]
    n_tokens = sum(embedding.n_tokens for embedding in embeddings)
    return {
        "object": "list",
        "data": data,
        "model": context.settings.model,
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }


def _describe_model(context: AppContext) -> dict[str, object]:
    return {
        "id": context.settings.model,
        "object": "model",
        "created": 0,
        "owned_by": "longwatch",
    }


def _start(context: AppContext, chat: Chat) -> Iterator[Token | Answer]:
    return ask_stream(
        context.services,
        chat.question,
        chat.scope,
        history=chat.history,
        sampling=chat.sampling,
        instructions=chat.instructions,
        pictures=chat.pictures,
    )


async def _stream(
    context: AppContext,
    steps: AsyncIterator[Token | Answer],
    frame: Mapping[str, object],
    chat: Chat,
    cutter: TextCutter,
    *,
    with_usage: bool,
) -> AsyncIterator[str]:
    def chunk(choices: list[dict[str, object]], **more: object) -> str:
        usage = {"usage": None} if with_usage else {}
        body = {**frame, "object": "chat.completion.chunk", "choices": choices, **usage, **more}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    def piece(delta: dict[str, str], finish: str | None = None, **more: object) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return chunk([choice], **more)

    yield piece({"role": "assistant", "content": ""})
    try:
        async for step in steps:
            if isinstance(step, Answer):
                text = cutter.close(is_whole=_is_whole(chat, cutter, step))
            else:
                text = cutter.feed(step.text)
            if text:
                yield piece({"content": text})
            if isinstance(step, Answer):
                proof = _proof(context, chat.question, step)
                yield piece({}, cutter.finish_reason, longwatch=proof)
        if with_usage:
            yield chunk([], usage=_usage(chat, cutter))
    except LongwatchError as error:
        yield f"data: {json.dumps(openai_error(error), ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"


def _is_whole(chat: Chat, cutter: TextCutter, answer: Answer) -> bool:
    """Tell whether an answer ended by itself: a model may have run out of its tokens."""
    return answer.answered_by != "model" or cutter.n_tokens < chat.sampling.max_tokens


def _usage(chat: Chat, cutter: TextCutter) -> dict[str, int]:
    n_answer = cutter.n_tokens
    return {
        "prompt_tokens": chat.n_prompt_tokens,
        "completion_tokens": n_answer,
        "total_tokens": chat.n_prompt_tokens + n_answer,
    }


def _proof(context: AppContext, question: str, answer: Answer) -> dict[str, object]:
    """Return what supports the answer: the document of `ask` without question and answer."""
    services = context.services
    document = describe_answer(question, answer, services.labels(), model_note=model_note(services))
    return document.model_dump(exclude={"question", "answer"})


def _numbers(vector: np.ndarray[Any, Any], *, as_text: bool) -> list[float] | str:
    if as_text:
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]
