"""The rate limit of sign-ins: five failures from an address or for a name within five minutes.

Decision: counted in the memory of the process, because a server is one process and a restart is
no way in that a stranger has.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from app.errors import NotAllowedError

MAX_FAILURES: Final = 5
WINDOW_S: Final = 300.0

_log = logging.getLogger(__name__)


class SignInRateLimit:
    """Counts failed sign-ins by key, and refuses further ones while there are too many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def check(self, *keys: str) -> None:
        """Let a sign-in pass.

        Raises:
            NotAllowedError: One of the keys has failed too often.
        """
        oldest = self._clock() - WINDOW_S
        for key in [key for key, times in self._failures.items() if times[-1] < oldest]:
            del self._failures[key]
        for key in keys:
            times = self._failures.get(key, deque())
            while times and times[0] < oldest:
                times.popleft()
            if len(times) >= MAX_FAILURES:
                _log.warning("sign-in refused: too many failures")
                raise NotAllowedError(
                    "too many failed sign-ins", hint=f"wait {WINDOW_S / 60:.0f} minutes"
                )

    def record_failure(self, *keys: str) -> None:
        """Count a failed sign-in."""
        for key in keys:
            self._failures.setdefault(key, deque()).append(self._clock())
