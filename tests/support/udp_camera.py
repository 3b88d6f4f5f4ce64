"""A camera that sends MPEG-TS to a port of this machine, and loses packets on the way."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PACKETS_A_DATAGRAM = 7
_PACKET_BYTES = 188


@contextmanager
def open_udp_camera(stream: bytes, length_s: float, *, loses_every: int = 0) -> Iterator[str]:
    """Send a stream once, at its own pace, from half a second after the start on.

    Args:
        loses_every: Every how many datagrams one is lost; none at 0.
    Yields:
        The address to listen at.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ends = threading.Event()

    def send() -> None:
        n_bytes = PACKETS_A_DATAGRAM * _PACKET_BYTES
        starts = range(0, len(stream), n_bytes)
        pause_s = length_s / len(starts)
        ends.wait(0.5)
        began_at = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number, start in zip(itertools.count(1), starts, strict=False):
                if ends.wait(max(0.0, began_at + number * pause_s - time.monotonic())):
                    return
                if not loses_every or number % loses_every:
                    sender.sendto(stream[start : start + n_bytes], ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        ends.set()
        thread.join()
