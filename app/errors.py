"""The shell's view of an error: exit code of a command, HTTP status and hint, in one table.

The engine and the storage raise errors that state facts (`engine/errors.py`). What a caller is
told to do about one names commands and settings, which only the shell knows; so does the number
that a process exits with. An error that brings a hint of its own keeps it.

Exit codes: 1 a bug, 2 wrong usage, 3 something cannot be reached, 4 this machine lacks a
capability, 5 input refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import (
    AwayLatentsError,
    CorruptFileError,
    CorruptLatentsError,
    CorruptStillsError,
    DiskFullError,
    InputRefusedError,
    LimitExceededError,
    LongwatchError,
    MissingCapabilityError,
    NetworkDisabledError,
    NotFoundError,
    SettingsError,
    StorageBusyError,
    UnreachableError,
    WeightsError,
)


class NotAllowedError(LongwatchError):
    """The user is not signed in, or is signed in and may not do this."""

    code = "not_allowed"


class BusyError(LongwatchError):
    """The queue is full."""

    code = "busy"


class ReportedError(LongwatchError):
    """A failure that another process met and described; it ends here as it would have there."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code  # type: ignore[misc]


class ConflictError(InputRefusedError):
    """The request contradicts the present state of what it changes."""

    code = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """The shell's report of one class of error, which its subclasses inherit."""

    exit_code: int
    status: int
    """HTTP status."""
    hint: str | None = None
    """Told where the error has no hint of its own."""


ERROR_RULES: Final[Mapping[type[LongwatchError], ErrorRule]] = {
    LongwatchError: ErrorRule(exit_code=1, status=422),
    InputRefusedError: ErrorRule(exit_code=5, status=422),
    LimitExceededError: ErrorRule(exit_code=5, status=413),
    ConflictError: ErrorRule(exit_code=5, status=409),
    WeightsError: ErrorRule(
        exit_code=5, status=422, hint="`longwatch models check FOLDER` lists what does not fit"
    ),
    NetworkDisabledError: ErrorRule(
        exit_code=5,
        status=422,
        hint="set allow_network = true; a file may be downloaded first instead",
    ),
    NotFoundError: ErrorRule(exit_code=2, status=404),
    SettingsError: ErrorRule(exit_code=2, status=422),
    NotAllowedError: ErrorRule(exit_code=2, status=403),
    UnreachableError: ErrorRule(exit_code=3, status=503),
    StorageBusyError: ErrorRule(exit_code=3, status=503),
    DiskFullError: ErrorRule(exit_code=3, status=507),
    BusyError: ErrorRule(exit_code=3, status=429),
    CorruptLatentsError: ErrorRule(
        exit_code=3,
        status=500,
        hint="run `longwatch videos reindex`, then ingest the video again",
    ),
    CorruptStillsError: ErrorRule(exit_code=3, status=500, hint="run `longwatch videos reindex`"),
    AwayLatentsError: ErrorRule(
        exit_code=3, status=503, hint="`longwatch objects status` says whether the store answers"
    ),
    CorruptFileError: ErrorRule(
        exit_code=3, status=500, hint="`longwatch objects verify` names what is damaged"
    ),
    MissingCapabilityError: ErrorRule(exit_code=4, status=501),
}

LIMIT_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "max_bytes": ("limits.upload_bytes",),
    "max_duration_s": ("limits.duration_s",),
    "max_side_px": ("limits.height_px", "limits.width_px"),
    "max_streams": ("limits.streams",),
    "disk_bytes": ("cache.disk_bytes",),
    "question_chars": ("limits.question_chars",),
    "prompt_tokens": ("limits.prompt_tokens",),
}
"""The settings behind the field that a `LimitExceededError` names."""


def rule_for(error: LongwatchError) -> ErrorRule:
    """Return the rule of an error's class, or of the nearest class above it."""
    if isinstance(error, ReportedError):
        return _rule_of_code(error.code)
    return next(ERROR_RULES[kind] for kind in type(error).__mro__ if kind in ERROR_RULES)


def hint_for(error: LongwatchError) -> str | None:
    """Return what the caller can do about an error, in one clause."""
    if error.hint is not None:
        return error.hint
    if isinstance(error, LimitExceededError) and error.field in LIMIT_SETTINGS:
        return f"raise the setting {' and '.join(LIMIT_SETTINGS[error.field])}"
    return rule_for(error).hint


def exit_code_of(code: str) -> int:
    """Return the exit code for an error of which only its own code is known, as in a document."""
    return _rule_of_code(code).exit_code


def _rule_of_code(code: str) -> ErrorRule:
    kinds: list[type[LongwatchError]] = [LongwatchError]
    for kind in kinds:
        if kind.code == code:
            return next(ERROR_RULES[base] for base in kind.__mro__ if base in ERROR_RULES)
        kinds += kind.__subclasses__()
    return ERROR_RULES[LongwatchError]
