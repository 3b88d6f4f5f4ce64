"""Progress of long work, in words that use cases and faces share.

A use case reports; a terminal draws bars, a job writes the figures into its row. None of them
needs to know the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressUpdate:
    """The state of one piece of long work."""

    what: str
    done: float
    total: float | None
    """`None` where nobody knows: a live camera, a header without a duration."""
    note: str = ""


ProgressCallback = Callable[[ProgressUpdate], None]


def no_progress(update: ProgressUpdate) -> None:
    """Ignore progress that nobody watches."""


class JobControl(Protocol):
    """The line between a job's work and whoever runs it; usable from any thread."""

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report how much is done; cheap enough to call after every chunk."""

    def is_cancelled(self) -> bool:
        """Tell whether the user cancelled: end the work and leave things tidy."""

    def should_stop(self) -> bool:
        """Tell whether to return soon, for any reason; what is committed stays."""


class Unattended:
    """The control of work that nobody watches or stops."""

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Ignore progress."""

    def is_cancelled(self) -> bool:
        """Return that nobody has cancelled."""
        return False

    def should_stop(self) -> bool:
        """Return that it may go on."""
        return False
