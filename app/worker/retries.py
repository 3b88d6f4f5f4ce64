"""Failures that may pass, and the pauses before they are tried again."""

from dataclasses import dataclass

from engine.errors import LongwatchError, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The pauses before a failed job is tried again."""

    first_s: float = 5.0
    factor: float = 4.0
    most_s: float = 600.0

    def delay_s(self, attempts: int) -> float:
        """Seconds to wait after so many starts that led nowhere."""
        return float(min(self.most_s, self.first_s * self.factor ** max(0, attempts - 1)))


def may_pass(error: Exception) -> bool:
    """Tell whether trying again may help: the world changes, what was refused stays refused."""
    return isinstance(error, UnreachableError) or not isinstance(error, LongwatchError)
