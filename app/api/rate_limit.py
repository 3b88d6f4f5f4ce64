"""The rate limit of sign-ins: after a few failures each further try has to wait, and longer.

Decision: delays by address, not a lock of the name, because a stranger who fails on purpose would
otherwise keep the owner of the name out.
Decision: an attempt is counted before its password is checked, and taken back when it was right;
checking takes a while, in which parallel attempts would all pass.
Decision: counted in the memory of the process, because a server is one process and a restart is
no way in that a stranger has.
"""

import ipaddress
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.errors import BusyError

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


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_at: float = 0.0
    retry_at: float = 0.0


_NONE: Final = _Failures()


class SignInRateLimit:
    """Counts failed sign-ins by name and address, and refuses attempts that come too soon."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without failures.

        Args:
            clock: Seconds, never going back.
        """
        self._clock = clock
        self._lock = threading.Lock()
        # The key that failed last stands last.
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def begin_attempt(self, name: str, address: str) -> None:
        """Count an attempt as failed, until `succeed` takes it back.

        Args:
            name: As typed; spellings of one account share their failures.
            address: Address of the client.
        Raises:
            BusyError: The name failed too often at this address, or the address with any names.
        """
        now = self._clock()
        keys = _keys(name, address)
        with self._lock:
            self._forget(now)
            retry_at = max(self._failures.get(key, _NONE).retry_at for key in keys)
            if retry_at > now:
                _log.warning("sign-in from %s refused: too many failures", address)
                wait_s = math.ceil(retry_at - now)
                raise BusyError("too many failed sign-ins", hint=f"try again in {wait_s} s")
            bounds = (
                (FREE_FAILURES, MAX_WAIT_S),
                (FREE_FAILURES_OF_ADDRESS, MAX_WAIT_OF_ADDRESS_S),
            )
            for key, (free, longest_s) in zip(keys, bounds, strict=True):
                failures = self._failures.setdefault(key, _Failures())
                failures.count += 1
                failures.last_at = now
                failures.retry_at = now + _wait_s(failures.count - free, longest_s)
                self._failures.move_to_end(key)

    def succeed(self, name: str, address: str) -> None:
        """Take an attempt back: it was right, and the name's failures at this address are over."""
        of_name, of_address = _keys(name, address)
        with self._lock:
            self._failures.pop(of_name, None)
            failures = self._failures.get(of_address)
            if failures is not None:
                failures.count -= 1
                failures.retry_at = self._clock()
                if failures.count == 0:
                    del self._failures[of_address]

    def _forget(self, now: float) -> None:
        while self._failures:
            key, failures = next(iter(self._failures.items()))
            if len(self._failures) <= MAX_KEYS and failures.last_at > now - MEMORY_S:
                return
            del self._failures[key]


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
