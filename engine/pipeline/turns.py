"""Turns at the model, for videos that are read beside each other.

Decision: whoever asks first is served first, one chunk a turn. Because a lock of the system may go
to the same thread again and again: on a machine that is too slow for its cameras, some would be
looked at whole and others not at all. In order, each drops as much as the others.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Turns:
    """A lock that is given in the order in which it is asked for. Not to be taken twice."""

    def __init__(self, at_a_time: int = 1) -> None:
        """Begin with nobody waiting.

        Args:
            at_a_time: How many may hold it.
        """
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._n_free = at_a_time

    @property
    def n_waiting(self) -> int:
        """Number of those who wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a turn while the body runs."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._n_free and self._waiting[0] is ticket)
            finally:
                # An interrupt leaves nobody waiting behind who has gone.
                self._waiting.remove(ticket)
            self._n_free -= 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._n_free += 1
                self._changed.notify_all()


def turns_at(device: torch.device) -> Turns:
    """Return the turns at a device: one at a time, on a CPU as many as have cores to themselves."""
    if device.type != "cpu":
        return Turns()
    return Turns(max(1, (os.cpu_count() or 1) // torch.get_num_threads()))
