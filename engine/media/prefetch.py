"""Reading ahead on a thread through a bounded queue, so that decoding and the model overlap."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.1


class Prefetch(Generic[T]):
    """An iterator that is read ahead on its own thread; its errors are raised to the consumer.

    Close it, or leave its `with` block, to stop early; the source still belongs to the caller.
    """

    def __init__(self, items: Iterator[T], *, depth: int = 4) -> None:
        """Start reading.

        Args:
            depth: Items that may wait in the queue; the thread holds one more.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self._queue: queue.Queue[tuple[bool, T | BaseException]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._fill, args=(items,), name="prefetch", daemon=True
        )
        self._done = False
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        is_item, value = self._queue.get()
        if is_item:
            return value  # type: ignore[return-value]
        self._done = True
        self._thread.join()
        assert isinstance(value, BaseException)
        raise value

    def close(self) -> None:
        """Stop reading and wait until the thread has left the source; may be called twice."""
        self._done = True
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put((True, item)):
                    return
            self._put((False, StopIteration()))
        except BaseException as error:  # noqa: BLE001  # Carried to the consumer, not swallowed.
            self._put((False, error))

    def _put(self, entry: tuple[bool, T | BaseException]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
