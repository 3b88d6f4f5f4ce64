"""The C library's allocator: free memory that it keeps goes back to the system.

Decision: `malloc_trim` at a beat, *because* chunks of a stream come and go beside latents that
stay, and glibc gives nothing back that lies below something in use: on a machine whose kernel backs
the heap with huge pages a day of one camera grew the process from 0.4 to 1.4 GB. A trim of such a
heap takes 0.2 ms. A lower mmap threshold (`mallopt(M_MMAP_THRESHOLD)`) held memory flat too, but
every tensor then costs page faults: ingest took 1.4 times the processor (2-core AMD EPYC,
2026-11-29). No variable has to be set; on another C library nothing happens.
Decision: of cameras it is trimmed by the clock, *because* eight that begin together come to their
64th chunk together, every 8.5 minutes, and 130 MB of free memory lay between.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from functools import cache


def return_free_memory() -> bool:
    """Give memory that is free to the system.

    Returns:
        Whether some was; `False` also where the C library has no such function.
    """
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


class MemoryReturn:
    """Returns of free memory that threads share, no two within a pause."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._due_at = 0.0
        self._lock = threading.Lock()

    def beat(self) -> bool:
        """Give free memory to the system if that is due; return whether it was."""
        now = time.monotonic()
        with self._lock:
            if now < self._due_at:
                return False
            self._due_at = now + self._pause_s
        return_free_memory()
        return True


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        # Musl and macOS have none; Windows has no library of that name either.
        return None
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
