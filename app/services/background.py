"""Work that is looked after every so often, on a thread of its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.errors import LongwatchError

_log = logging.getLogger(__name__)
_END_S = 20.0


@contextmanager
def repeating(
    look: Callable[[], None], *, name: str, every_s: float, trouble: str
) -> Iterator[None]:
    """Call `look` at once, and again after each pause, while the body runs.

    Args:
        look: May fail by what the world does: the next one tries again.
        name: Of the thread.
        every_s: Seconds between the end of one and the next.
        trouble: Words for the log before the reason of a failure.
    """
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                look()
            except LongwatchError as error:
                _log.warning("%s: %s", trouble, error)
            over.wait(every_s)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=_END_S)
