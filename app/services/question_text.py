"""Checks that questions and searches share, and how far what they ask about was read."""

from app.services.context import ServiceContext
from engine.errors import InputRefusedError, LimitExceededError
from engine.records import VideoId


def check_text(context: ServiceContext, what: str, text: str) -> None:
    """Refuse a question or query that is empty or longer than the setting allows.

    Args:
        what: The kind of text, for the message: "question" or "query".
    Raises:
        InputRefusedError: It is empty, or holds bytes that are no text.
        LimitExceededError: It has more characters than `limits.question_chars`.
    """
    most_chars = context.settings.limits.question_chars
    if not text.strip():
        raise InputRefusedError(f"the {what} is empty", hint="say what you want to know")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputRefusedError(
            f"the {what} is not valid Unicode: {text!r}", hint="write it in the terminal's encoding"
        ) from error
    if len(text) > most_chars:
        raise LimitExceededError(
            f"the length of the {what}",
            f"{len(text)} characters",
            f"{most_chars} characters",
            field="question_chars",
        )


def read_to_s(context: ServiceContext) -> dict[VideoId, float]:
    """Return how far each video was read, by its row."""
    return {row.id: row.ingested_s for row in context.catalog.videos.list()}
