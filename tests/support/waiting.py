"""Waits of tests: for a fact, however busy the machine is, and never without an end."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], *, within_s: float = 200.0) -> None:
    """Wait until a function returns something true.

    Args:
        is_so: Asked fifty times a second.
        within_s: The test fails once this is over.
    """
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come to that within {within_s:g} s"
        time.sleep(0.02)
