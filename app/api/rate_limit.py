"""The rate limit of sign-ins: after a few failures each further try has to wait, and longer.

Decision: delays by address, not a lock of the name, because a stranger who fails on purpose would
otherwise keep the owner of the name out.
Decision: an attempt is counted before its password is checked, and taken back when it was right;
checking takes a while, in which parallel attempts would all pass.
Decision: one server counts in its memory, because a restart is no way in that a stranger has;
several servers of one library count in its database, because a stranger who is sent from one to
the next would have the free failures of each.
"""

import ipaddress
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from app.errors import BusyError
from storage.sign_in_failures import SignInFailure, SignInKey

FREE_FAILURES: Final = 5
"""Failures of a name at an address that cost nothing: typing errors."""
FREE_FAILURES_OF_ADDRESS: Final = 20
"""Likewise of all names at an address, which an office or a proxy may share."""
MAX_WAIT_S: Final = 300.0
"""Longest wait between two attempts: 288 tries a day find no password of ten characters."""
MAX_WAIT_OF_ADDRESS_S: Final = 10.0
"""Likewise of an address whatever the name: others may sit behind the same one."""
MEMORY_S: Final = 900.0
"""Seconds after the last failure at which it is forgotten; longer than the longest wait."""
MAX_KEYS: Final = 10_000
"""Most keys that are remembered; a stranger makes them up, so memory needs a bound (about 2 MB)."""

_log = logging.getLogger(__name__)


class FailureStore(Protocol):
    """The place where failures are counted."""

    def changing(
        self, keys: Sequence[SignInKey], *, forget_before: float, most: int
    ) -> AbstractContextManager[dict[SignInKey, SignInFailure]]:
        """Yield the failures of some keys, which nobody else changes meanwhile, to be changed."""


class FailureMemory:
    """Failures in the memory of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The key that failed last stands last.
        self._failures: OrderedDict[SignInKey, SignInFailure] = OrderedDict()

    @contextmanager
    def changing(
        self, keys: Sequence[SignInKey], *, forget_before: float, most: int
    ) -> Iterator[dict[SignInKey, SignInFailure]]:
        """Yield the failures of some keys; what has no count at the end is forgotten."""
        with self._lock:
            self._forget(forget_before, most)
            changed = {key: self._failures.get(key, SignInFailure()) for key in keys}
            yield changed
            for key, failure in changed.items():
                self._failures.pop(key, None)
                if failure.count:
                    self._failures[key] = failure

    def _forget(self, before: float, most: int) -> None:
        while self._failures:
            key, failure = next(iter(self._failures.items()))
            if len(self._failures) <= most and failure.last_at > before:
                return
            del self._failures[key]


class SignInRateLimit:
    """Counts failed sign-ins by name and address, and refuses attempts that come too soon."""

    def __init__(self, clock: Callable[[], float], store: FailureStore | None = None) -> None:
        """Start without failures.

        Args:
            clock: Seconds, never going back; of all servers one where `store` is shared.
            store: Where they are counted; in memory when `None`.
        """
        self._clock = clock
        self._store = store or FailureMemory()

    def begin_attempt(self, name: str, address: str) -> None:
        """Count an attempt as failed, until `succeed` takes it back.

        Args:
            name: As typed; spellings of one account share their failures.
            address: Address of the client.
        Raises:
            BusyError: The name failed too often at this address, or the address with any names.
        """
        now = self._clock()
        of_name, of_address = _keys(name, address)
        with self._changing(of_name, of_address, now=now) as failures:
            retry_at = max(failure.retry_at for failure in failures.values())
            if retry_at > now:
                _log.warning("sign-in from %s refused: too many failures", address)
                wait_s = math.ceil(retry_at - now)
                raise BusyError("too many failed sign-ins", hint=f"try again in {wait_s} s")
            for key, free, longest_s in (
                (of_name, FREE_FAILURES, MAX_WAIT_S),
                (of_address, FREE_FAILURES_OF_ADDRESS, MAX_WAIT_OF_ADDRESS_S),
            ):
                failure = failures[key]
                failure.count += 1
                failure.last_at = now
                failure.retry_at = now + _wait_s(failure.count - free, longest_s)

    def succeed(self, name: str, address: str) -> None:
        """Take an attempt back: it was right, and the name's failures at this address are over."""
        now = self._clock()
        of_name, of_address = _keys(name, address)
        with self._changing(of_name, of_address, now=now) as failures:
            failures[of_name] = SignInFailure()
            failure = failures[of_address]
            failure.count = max(0, failure.count - 1)
            failure.retry_at = now

    def _changing(
        self, *keys: SignInKey, now: float
    ) -> AbstractContextManager[dict[SignInKey, SignInFailure]]:
        return self._store.changing(keys, forget_before=now - MEMORY_S, most=MAX_KEYS)


def _wait_s(excess: int, longest_s: float) -> float:
    """Return the wait after a failure: none, then 1 s, doubled each time up to the longest."""
    # The exponent is bounded, because a power of a large count would not fit a float.
    return 0.0 if excess < 0 else min(2.0 ** min(excess, 20), longest_s)


def _keys(name: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    network = _network(address)
    return (name.strip().casefold(), network), ("", network)


def _network(address: str) -> str:
    """Return whom an address stands for: a household has a whole /64 of IPv6 to try from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
