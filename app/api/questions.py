"""Questions and searches of signed-in users: checked, given their turn, kept, described.

The HTTP routes, the pages and the named endpoints all come through here.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from app.api.auth import Principal
from app.api.deps import AppContext
from app.schemas.ask import AskRequest, AskResponse, describe_answer
from app.schemas.search import SearchRequest, SearchResponse
from app.services import conversations
from app.services.ask import ask_stream, check_question, model_note
from app.services.images import Picture, check_takes_images, draw_kept, read_addresses
from app.services.search import search as find
from app.services.timelines import gaps_in_scope
from app.timefmt import format_duration
from engine.errors import InputRefusedError
from engine.records import Answer, Scope, Turn
from engine.tensors import Token
from storage.records import ConversationRow


async def search_moments(
    context: AppContext, principal: Principal, body: SearchRequest
) -> SearchResponse:
    """Return the moments that match a description, or look like a frame, with their stills."""
    scope = await run_in_threadpool(_search_scope, context, principal, body)
    async with context.model_queue.slot(principal.user.id):
        response = await run_in_threadpool(
            lambda: find(
                context.services,
                body.query,
                scope,
                like=body.like,
                top=body.top,
                kinds=body.kinds,
                labels=body.labels,
            )
        )
    response.searched = format_duration(response.searched_s)
    for hit in response.hits:
        hit.thumb_url = f"/media/{hit.video_id}/frame.jpg?t={hit.peak_s:.1f}"
    return response


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """A checked question: where to look, the turns before it, and the images beside it."""

    scope: Scope
    history: tuple[Turn, ...] = ()
    conversation: ConversationRow | None = None
    pictures: tuple[Picture, ...] = ()


def prepare_question(
    context: AppContext, principal: Principal, body: AskRequest
) -> PreparedQuestion:
    """Check everything before the first byte of an answer, while a status can still say so."""
    check_question(context.services, body.question)
    if body.images_alone and not body.images:
        raise InputRefusedError("there is no image that the question could be about")
    scope: Scope = ()
    if not body.is_about_images_alone:
        scope = context.scope(
            principal, body.videos, body.after, body.before, body.time_of_day, body.cameras
        )
    pictures: tuple[Picture, ...] = ()
    if body.images:
        check_takes_images(context.services, body.recall)
        pictures = read_addresses(context.services, body.images)
    if body.conversation_id is None:
        return PreparedQuestion(scope, pictures=pictures)
    row = conversations.find_conversation(context.services, principal.user.id, body.conversation_id)
    history = conversations.read_history(context.services, row)
    return PreparedQuestion(scope, history, row, pictures)


async def answer_steps(
    context: AppContext, principal: Principal, body: AskRequest, prepared: PreparedQuestion
) -> AsyncGenerator[str | AskResponse, None]:
    """Yield the tokens of the answer as they come, then the answer."""

    def start() -> Iterator[Token | Answer]:
        return ask_stream(
            context.services,
            body.question,
            prepared.scope,
            history=prepared.history,
            recall=body.recall,
            pictures=prepared.pictures,
        )

    async with aclosing(context.model_queue.answer(principal.user.id, start)) as steps:
        async for step in steps:
            if isinstance(step, Answer):
                yield await run_in_threadpool(_keep, context, principal, body, prepared, step)
            else:
                yield step.text


def plan_text(context: AppContext, scope: Scope) -> str:
    """Return what is about to be searched, in words."""
    labels = context.services.labels()
    if not scope:
        return "Looking at the images"
    names = [labels[video].name for video, _ in scope if video in labels]
    where = names[0] if len(names) == 1 else f"{len(names)} videos"
    return f"Searching {where}"


def _keep(
    context: AppContext,
    principal: Principal,
    body: AskRequest,
    prepared: PreparedQuestion,
    answer: Answer,
) -> AskResponse:
    """Store the turn, in a new conversation if there is none."""
    kept = conversations.keep_turn(
        context.services,
        principal.user.id,
        prepared.conversation,
        body.videos,
        body.question,
        answer,
        images=[draw_kept(picture) for picture in prepared.pictures],
    )
    response = describe_answer(
        body.question,
        answer,
        context.services.labels(),
        model_note=model_note(context.services),
        gaps=gaps_in_scope(context.services, prepared.scope),
    )
    return AskResponse(
        **response.model_dump(),
        conversation_id=kept.conversation_id,
        image_urls=[*kept.image_urls],
        searched=format_duration(answer.searched_s),
    )


def _search_scope(context: AppContext, principal: Principal, body: SearchRequest) -> Scope:
    scope = context.scope(
        principal, body.videos, body.after, body.before, body.time_of_day, body.cameras
    )
    if body.like is not None:
        context.video(principal, body.like.video_id)
    return scope
