"""Connections that go where an address was checked to lead, whatever a name server says next.

The rules are those of cameras (`engine/media/address.py`): this machine and the local network may
be connected to, the addresses where clouds tell their machines secrets may not.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.errors import LongwatchError
from engine.media.address import resolve_host

CONNECT_S: Final = 10.0
"""Longest wait for a connection."""
LONGEST_S: Final = 60.0
"""Longest answer to one attempt: well within its lease, so that nobody else makes it meanwhile."""


def dial(host: str, port: int, shown: str, *, timeout_s: float = CONNECT_S) -> socket.socket:
    """Open a connection to a host that may be connected to.

    Args:
        shown: The destination, for messages.
    Raises:
        LongwatchError: It has no address, or one that nothing is sent to.
        OSError: It does not answer.
    """
    return socket.create_connection((str(resolve_host(host, shown)), port), timeout=timeout_s)


@contextmanager
def cut_off(close: Callable[[], None]) -> Iterator[threading.Event]:
    """Close a connection that the body holds for longer than `LONGEST_S`.

    A limit for each read is none for somebody who answers a byte at a time.

    Args:
        close: Makes the body fail; called on another thread.
    Yields:
        What is set where that was done.
    """
    was_cut = threading.Event()

    def cut() -> None:
        was_cut.set()
        close()

    timer = threading.Timer(LONGEST_S, cut)
    timer.daemon = True
    timer.start()
    try:
        yield was_cut
    finally:
        timer.cancel()


def secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """Return a connection in TLS with a host whose certificate is checked."""
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def sentence(error: BaseException) -> str:
    """Return what went wrong on the way, without the address that it went wrong at."""
    if isinstance(error, LongwatchError):
        return error.message
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
