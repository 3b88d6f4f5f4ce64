"""A broker of MQTT 3.1.1 for tests: connects, acknowledges, and keeps what was published."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CONNECT, PUBLISH, PINGREQ, DISCONNECT = 1, 3, 12, 14


@dataclass
class Broker:
    """What a broker has, and how it behaves."""

    port: int
    published: list[tuple[str, bytes]] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    sign_in: tuple[str, str] | None = None
    is_silent: bool = False
    """Takes what is published and never says so."""


@contextmanager
def open_broker(sign_in: tuple[str, str] | None = None) -> Iterator[Broker]:
    """A broker on a port of its own, until the end of the body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = Broker(port=listener.getsockname()[1], sign_in=sign_in)
        threading.Thread(target=_accept, args=(listener, broker), daemon=True).start()
        yield broker


def _accept(listener: socket.socket, broker: Broker) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, broker), daemon=True).start()


def _serve(connection: socket.socket, broker: Broker) -> None:
    with connection, suppress(OSError, EOFError):
        while True:
            kind, flags, body = _read_packet(connection)
            if kind == CONNECT:
                refused = broker.sign_in is not None and _sign_in(body) != broker.sign_in
                connection.sendall(bytes([0x20, 2, 0, 5 if refused else 0]))
                if refused:
                    return
            elif kind == PUBLISH:
                (length,) = struct.unpack(">H", body[:2])
                topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
                quality = flags >> 1 & 3
                payload = rest[2:] if quality else rest
                broker.published.append((topic, payload))
                if flags & 1:
                    broker.retained[topic] = payload
                if quality and not broker.is_silent:
                    connection.sendall(bytes([0x40, 2]) + rest[:2])
            elif kind == PINGREQ:
                connection.sendall(bytes([0xD0, 0]))
            elif kind == DISCONNECT:
                return


def _sign_in(body: bytes) -> tuple[str, str]:
    """Name and password of a CONNECT: behind protocol, level, flags, keep-alive and client id."""
    (length,) = struct.unpack(">H", body[:2])
    flags, place = body[2 + length + 1], 2 + length + 4
    fields = []
    while place < len(body):
        (length,) = struct.unpack(">H", body[place : place + 2])
        fields.append(body[place + 2 : place + 2 + length].decode())
        place += 2 + length
    return (fields[1], fields[2]) if flags & 0xC0 == 0xC0 else ("", "")


def _read_packet(connection: socket.socket) -> tuple[int, int, bytes]:
    first = _read(connection, 1)[0]
    length = shift = 0
    while True:
        byte = _read(connection, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first >> 4, first & 15, _read(connection, length)


def _read(connection: socket.socket, n_bytes: int) -> bytes:
    block = b""
    while len(block) < n_bytes:
        more = connection.recv(n_bytes - len(block))
        if not more:
            raise EOFError
        block += more
    return block
