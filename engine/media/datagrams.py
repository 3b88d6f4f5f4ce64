"""RTP that a camera sends as datagrams, put into the one connection that FFmpeg reads.

Decision: FFmpeg asks for packets inside the connection, as ever, and the relay asks the camera for
datagrams in its place. So FFmpeg opens no port, and only datagrams from the address that was
checked are passed on.

Source: RFC 2326, 10.4 (SETUP), 10.12 (interleaved data), 12.39 (Transport).
"""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_PORT_PAIRS: Final = 32
"""Attempts at an even port whose neighbour is free too."""
_BUFFER_BYTES: Final = 4 << 20
"""Seconds of a camera; what does not fit is lost, and the feed goes on."""
_MAX_DATAGRAM_BYTES: Final = 1 << 16
_MIN_PACKET_BYTES: Final = 8
_CHANNELS: Final = re.compile(rb"interleaved=(\d{1,3})-(\d{1,3})")
_SERVER_PORTS: Final = re.compile(rb"server_port=(\d{1,5})(?:-(\d{1,5}))?")
# What opens a firewall on the way: a packet of RTP without content, a report that says nothing.
_OPENERS: Final = (b"\x80\x00" + bytes(10), b"\x80\xc9\x00\x01" + bytes(4))


class DatagramWay:
    """The ports of this machine that one connection to a camera receives at."""

    def __init__(self, camera: socket.socket) -> None:
        """Begin without a port.

        Args:
            camera: The control connection.
        """
        self._host, self._own = camera.getpeername()[0], camera.getsockname()[0]
        self._family = camera.family
        self._channels: dict[int, socket.socket] = {}
        self._targets: dict[int, int] = {}
        """Ports of the camera by channel."""
        self._asked: tuple[int, int] | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Sockets that datagrams may come in at."""
        return tuple(self._channels.values())

    def asked(self, transport: bytes) -> bytes:
        """Return what is asked of the camera, for the Transport that FFmpeg wants.

        Raises:
            OSError: No two ports are free.
        """
        match = _CHANNELS.search(transport)
        channels = (int(match[1]), int(match[2])) if match else (0, 1)
        if channels[0] not in self._channels:
            pair = self._ports()
            self._channels |= dict(zip(channels, pair, strict=True))
        self._asked = channels
        ports = [self._channels[channel].getsockname()[1] for channel in channels]
        return b"RTP/AVP/UDP;unicast;client_port=%d-%d" % (ports[0], ports[1])

    def answered(self, transport: bytes) -> bytes:
        """Return what FFmpeg is told, for the Transport that the camera answers."""
        channels = self._asked or (0, 1)
        match = _SERVER_PORTS.search(transport)
        if match is not None:
            first = int(match[1])
            self._targets |= dict(zip(channels, (first, int(match[2] or first + 1)), strict=True))
            for channel, opener in zip(channels, _OPENERS, strict=True):
                self.send(channel, opener)
        return b"RTP/AVP/TCP;unicast;interleaved=%d-%d" % channels

    def send(self, channel: int, packet: bytes) -> None:
        """Send what FFmpeg reports to the port that the camera has named."""
        port, sender = self._targets.get(channel, 0), self._channels.get(channel)
        if sender is not None and 0 < port < 1 << 16:
            with suppress(OSError):
                sender.sendto(packet, (self._host, port))

    def received(self) -> Iterator[bytes]:
        """Yield what has come in from the camera, each packet marked with its channel."""
        for channel, receiver in self._channels.items():
            with suppress(OSError):
                while True:
                    packet, sender = receiver.recvfrom(_MAX_DATAGRAM_BYTES)
                    if sender[0] == self._host and len(packet) >= _MIN_PACKET_BYTES:
                        yield b"$%c%b" % (channel, len(packet).to_bytes(2, "big")) + packet

    def close(self) -> None:
        """Close every port."""
        for receiver in self._channels.values():
            receiver.close()

    def _ports(self) -> tuple[socket.socket, socket.socket]:
        for _ in range(_PORT_PAIRS):
            first = self._bound(0)
            port = first.getsockname()[1]
            if port % 2 == 0:
                with suppress(OSError):
                    return first, self._bound(port + 1)
            first.close()
        raise OSError("no two ports are free")

    def _bound(self, port: int) -> socket.socket:
        receiver = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            receiver.bind((self._own, port))
            receiver.setblocking(False)
        except BaseException:
            receiver.close()
            raise
        return receiver


class RequestFilter:
    """Filter of the bytes of FFmpeg: it asks for one transport, and the camera for the other."""

    def __init__(self, way: DatagramWay) -> None:
        self._way = way
        self._buffer = bytearray()

    def filter(self, block: bytes) -> bytes:
        """Take the next bytes, and return what goes to the camera's control connection."""
        self._buffer += block
        passed = bytearray()
        while self._buffer:
            if self._buffer[0] == ord("$"):
                end = 4 + int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) < max(4, end):
                    break
                self._way.send(self._buffer[1], bytes(self._buffer[4:end]))
            else:
                end = self._buffer.find(b"\r\n\r\n") + 4
                if end < 4:
                    break
                passed += self._request(bytes(self._buffer[:end]))
            del self._buffer[:end]
        return bytes(passed)

    def _request(self, head: bytes) -> bytes:
        lines = head.split(b"\r\n")
        if not lines[0].startswith(b"SETUP "):
            return head
        for place, line in enumerate(lines):
            name, _, value = line.partition(b":")
            if name.lower() == b"transport":
                lines[place] = b"Transport: " + self._way.asked(value)
        return b"\r\n".join(lines)
