"""The error response: one sentence, a code and, where there is one, a hint."""

from pydantic import Field

from app.errors import hint_for
from app.schemas.common import Schema
from engine.errors import LongwatchError


class ErrorDetail(Schema):
    """A failure: a code for programs, a sentence and a hint for people."""

    code: str
    message: str
    hint: str | None = Field(default=None, exclude_if=lambda value: value is None)


class ErrorResponse(Schema):
    """The body of every failure, and the document of `--json` in place of a result."""

    error: ErrorDetail


def describe_error(error: LongwatchError) -> ErrorResponse:
    """Return an error as what a client or `--json` shows."""
    return ErrorResponse(
        error=ErrorDetail(code=error.code, message=str(error), hint=hint_for(error))
    )
