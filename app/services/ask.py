"""Questions over what was ingested."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from app.schemas.ask import AnswerResponse, describe_answer
from app.services.answers import answer_stream
from app.services.context import ServiceContext
from app.services.images import Picture
from app.services.question_text import check_text, read_to_s
from app.services.timelines import gaps_in_scope
from engine.errors import LimitExceededError
from engine.protocols import Sampling, TokenCounter
from engine.records import Answer, Recall, Scope, Turn
from engine.tensors import Token

MAX_TOKEN_BYTES: Final = 128
"""Longest token of the vocabularies we know: runs of spaces in Qwen2's."""


def check_question(context: ServiceContext, question: str) -> None:
    """Refuse a question that is empty or longer than the settings allow.

    Raises:
        InputRefusedError: It holds no letters.
        LimitExceededError: It has more characters than `limits.question_chars`, or more tokens
            than `limits.prompt_tokens`.
    """
    check_text(context, "question", question)
    most = context.settings.limits.prompt_tokens
    # Every token takes a byte, so a short question needs no tokenizer, and no model loaded for it.
    n_tokens = len(question.encode(errors="replace"))
    if n_tokens > most:
        n_tokens = count_tokens(context, question, most)
    if n_tokens > most:
        raise LimitExceededError(
            "the length of the question",
            f"{n_tokens} tokens",
            f"{most} tokens",
            field="prompt_tokens",
        )


def recent_turns(
    context: ServiceContext, question: str, history: Sequence[Turn]
) -> tuple[Turn, ...]:
    """Return the latest turns that fit a prompt beside the question, oldest first."""
    most = context.settings.limits.prompt_tokens
    left = most - count_tokens(context, question, most)
    n_kept = 0
    for turn in reversed(history):
        left -= sum(count_tokens(context, text, left) for text in (turn.question, turn.answer))
        if left < 0:
            break
        n_kept += 1
    return tuple(history[len(history) - n_kept :])


def ask(
    context: ServiceContext,
    question: str,
    scope: Scope,
    *,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
    on_token: Callable[[str], None] = lambda text: None,
    pictures: Sequence[Picture] = (),
) -> AnswerResponse:
    """Answer a question; `on_token` gets the words as they come."""
    for step in ask_stream(
        context, question, scope, history=history, recall=recall, pictures=pictures
    ):
        if isinstance(step, Answer):
            return describe_answer(
                question,
                step,
                context.labels(),
                model_note=model_note(context),
                gaps=gaps_in_scope(context, scope),
            )
        on_token(step.text)
    raise AssertionError("the last step of an answer is the Answer")


def ask_stream(
    context: ServiceContext,
    question: str,
    scope: Scope,
    *,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
    sampling: Sampling | None = None,
    instructions: str = "",
    pictures: Sequence[Picture] = (),
) -> Iterator[Token | Answer]:
    """Return the tokens of an answer as they come, then the Answer.

    Args:
        recall: Which chunks the model reads; when given, the model answers and nothing else.
        sampling: How a model draws tokens; greedy and of the settings' length when `None`.
        instructions: How a model shall answer, beside the question.
        pictures: Still images to show to the model; with an empty scope nothing else is asked.
    """
    check_question(context, question)
    # Before the engine looks: what is written down by then is on the disk when it does.
    read_s = read_to_s(context)
    return answer_stream(
        context,
        question,
        scope,
        history=recent_turns(context, question, history),
        recall=recall,
        read_to_s=read_s,
        sampling=sampling,
        instructions=instructions,
        pictures=pictures,
    )


def model_note(context: ServiceContext) -> str | None:
    """Return what the loaded model knows, where that is less than real footage."""
    world = context.engine.world
    return None if world is None else world.sentence


def count_tokens(context: ServiceContext, text: str, most: int | None = None) -> int:
    """Return how many tokens of the loaded model a text takes.

    Args:
        most: What is asked for is only whether there are more: then the bytes of a text that must
            take more are returned. Families without a tokenizer count bytes, too.
    """
    n_bytes = len(text.encode(errors="replace"))
    if most is not None and n_bytes > most * MAX_TOKEN_BYTES:
        return n_bytes
    model = context.engine.model
    return model.count_tokens(text) if isinstance(model, TokenCounter) else n_bytes
