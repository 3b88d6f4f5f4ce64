"""Questions of the other servers of a library, about the latents beside this one.

No part of the public API: each request is signed by its sender, and answered only where
`server.node_address` is set. They have a queue of their own before the model: a question that waits
for another server holds the queue of this one, and two that asked each other would wait for ever.
"""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext, Ctx
from app.errors import NotAllowedError
from app.schemas.nodes import (
    NodeAnswer,
    NodeFound,
    NodeMoment,
    NodeQuestion,
    NodeSearch,
    NodeSpan,
    node_evidence,
    scope_of,
)
from app.services.answers import answer_stream
from app.services.nodes import ANSWER_PATH, SEARCH_PATH, check_signature
from app.services.question_text import read_to_s
from app.services.search import find_moments
from engine.errors import InputRefusedError
from engine.protocols import Sampling
from engine.records import Answer, Turn, VideoStretch

Body = TypeVar("Body", bound=BaseModel)
Signature = Annotated[str, Header(alias="longwatch-node", max_length=200)]

router = APIRouter(include_in_schema=False)


@router.post(SEARCH_PATH)
async def search_here(context: Ctx, request: Request, signature: Signature = "") -> NodeFound:
    """Return the moments that are found beside this server."""
    body = await _read(context, request, signature, NodeSearch)

    def find() -> NodeFound:
        moments, result = find_moments(
            context.services,
            body.query,
            scope_of(body.spans),
            body.top,
            kinds=body.kinds,
            labels=body.labels,
            is_alone=True,
        )
        return NodeFound(
            moments=[
                NodeMoment(
                    where=NodeSpan.of(moment.video, moment.span),
                    peak_s=moment.peak_s,
                    kind=moment.kind,
                    relevance=moment.relevance,
                    log_odds=moment.log_odds,
                    source=moment.source,
                    text=moment.text,
                )
                for moment in moments
            ],
            searched_s=result.searched_s,
            left_out=_spans(result.left_out),
        )

    async with context.node_turn:
        return await run_in_threadpool(find)


@router.post(ANSWER_PATH)
async def answer_here(context: Ctx, request: Request, signature: Signature = "") -> NodeAnswer:
    """Return the answer about what lies beside this server."""
    body = await _read(context, request, signature, NodeQuestion)

    def ask() -> NodeAnswer:
        steps = answer_stream(
            context.services,
            body.question,
            scope_of(body.spans),
            history=[Turn(question=turn.question, answer=turn.answer) for turn in body.history],
            recall=body.recall,
            read_to_s=read_to_s(context.services),
            sampling=Sampling(**body.sampling.model_dump()),
            instructions=body.instructions,
            is_alone=True,
        )
        *_, answer = steps
        assert isinstance(answer, Answer), "the last step of an answer is the Answer"
        return NodeAnswer(
            text=answer.text,
            answered_by=answer.answered_by,
            evidence=node_evidence(answer.evidence),
            nearest=node_evidence(answer.nearest),
            searched_s=answer.searched_s,
            recalled_chunks=answer.recalled_chunks,
            recall=answer.recall,
            left_out=_spans(answer.left_out),
        )

    async with context.node_turn:
        return await run_in_threadpool(ask)


async def _read(context: AppContext, request: Request, signature: str, kind: type[Body]) -> Body:
    """Return the body of a signed request.

    Raises:
        NotAllowedError: No node of this library has signed it.
        InputRefusedError: It is none that this version understands.
    """
    if context.settings.server.node_address is None:
        raise NotAllowedError("this server answers no other servers")
    body = await request.body()
    await run_in_threadpool(check_signature, context.services, signature, request.url.path, body)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise InputRefusedError("the question of another server is not understood") from error


def _spans(stretches: tuple[VideoStretch, ...]) -> list[NodeSpan]:
    return [NodeSpan.of(stretch.video, stretch.span) for stretch in stretches]
