"""An answer as it is being written: the messages of a chat, again and again."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import gradio as gr
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext
from app.api.questions import answer_steps, plan_text, prepare_question
from app.schemas.ask import AskRequest, AskResponse
from app.schemas.errors import describe_error
from app.services.verdicts import verdicts_on
from app.ui.caller import checked, principal_of, require_reader
from app.ui.conversation import (
    Message,
    answer_message,
    problem_message,
    question_message,
    waiting_message,
)
from app.ui.hints import web_hint
from app.ui.question_box import Asked, as_addresses
from engine.errors import LongwatchError

MOST_TURNS: Final = 30
"""Turns that a page keeps on show; the conversation itself has no end."""
_WORD_S: Final = 0.06
"""Least time between two states of an answer."""
_ESCAPED: Final = re.compile(r"\\(.)")


async def stream_answer(
    context: AppContext,
    request: gr.Request,
    chat: Sequence[Message],
    asking: Asked,
    *,
    talk: str,
    videos: list[str],
    pictures_alone: bool = False,
) -> AsyncGenerator[tuple[list[Message], AskResponse | None]]:
    """Yield a chat with a question and as much of its answer as is written; last, the answer.

    A question that is refused ends with the reason in place of the answer.

    Args:
        talk: The conversation that it continues; a new one when empty.
        videos: Where to look; everywhere when empty.
        pictures_alone: Whether no video is searched.
    """
    question = asking.words
    before = [*chat, question_message(question, asking.pictures)]
    yield [*before, waiting_message("Waiting")], None
    try:
        principal = require_reader(request)
        pictures = asking.pictures
        images = await run_in_threadpool(as_addresses, context.services, principal, pictures)
        body = checked(
            AskRequest,
            question=question,
            videos=videos,
            conversation_id=talk or None,
            images=images,
            images_alone=pictures_alone,
        )
        prepared = await run_in_threadpool(prepare_question, context, principal, body)
        plan = plan_text(context, prepared.scope)
        yield [*before, waiting_message(plan)], None
        words, shown_at = "", 0.0
        async with aclosing(answer_steps(context, principal, body, prepared)) as steps:
            async for step in steps:
                if isinstance(step, AskResponse):
                    given = await run_in_threadpool(
                        verdicts_on, context.services, principal.user.id, question
                    )
                    # From now on they have addresses that stay.
                    kept = question_message(question, step.image_urls)
                    yield [*chat, kept, answer_message(step, given)], step
                    continue
                words += step
                if time.monotonic() - shown_at > _WORD_S:
                    shown_at = time.monotonic()
                    yield [*before, waiting_message(plan, words)], None
    except LongwatchError as error:
        detail = describe_error(error).error
        hint = web_hint(detail.hint, principal_of(request))
        sentence = ". ".join(filter(None, (detail.message, hint)))
        yield [*before, problem_message(sentence)], None


def asked(message: Message) -> str:
    """Return the question of a message."""
    return _ESCAPED.sub(r"\1", _words(message))


def stopped(chat: Sequence[Message]) -> list[Message]:
    """Return a chat whose last answer was stopped, as far as it came."""
    if not chat or chat[-1]["role"] != "assistant":
        return list(chat)
    words = _words(chat[-1])
    # Nothing but the plan was shown yet.
    rest = "*Stopped.*" if words.startswith("*") else f"{words} *(stopped)*"
    return [*chat[:-1], {"role": "assistant", "content": rest}]


def _words(message: Message) -> str:
    """Return the text of a message, which Gradio hands over in parts."""
    content = message["content"]
    if isinstance(content, str):
        return content
    texts = [item.get("text", "") if isinstance(item, dict) else item for item in content]
    return " ".join(text for text in texts if isinstance(text, str) and text)
