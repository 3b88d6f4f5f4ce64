"""The outcome of an attempt to deliver."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt; delivered where there is no error."""

    error: str | None = None
    """Why not, in a sentence without secrets."""
    may_have_arrived: bool = False
    """Whether the receiver may have it all the same."""
    is_final: bool = False
    """Whether trying again is of no use."""
    wait_s: float | None = None
    """How long the receiver asks to be left alone."""


DELIVERED = Outcome()
