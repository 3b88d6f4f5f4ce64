"""A relay between FFmpeg and an RTSP camera, so that FFmpeg connects nowhere but to this machine.

Decision: FFmpeg follows redirects of RTSP and looks their hosts up by itself, and no option
forbids it. So it is given a port of this machine, behind which a thread speaks to the address
that was checked. What the camera answers is not passed on as it came but read and written anew,
without `Location` and never with a status of 3xx: two readers of one text could disagree. RTP
packets, which stand between the answers, pass untouched.
Decision: the camera is asked for `rtsp://127.0.0.1:PORT/...`, as it would be behind a router that
forwards a port; Digest signs that address, and the camera compares it with the same one.
Measured: 5 ms of a core for each second of a stream of 8 Mbit/s (2-core AMD EPYC, 2026-11-28).

Source: RFC 2326, 4 (messages), 10.12 (interleaved data), 11.3 (redirects).
"""

import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from typing import Final

from engine.media.datagrams import DatagramWay, RequestFilter

_MAX_HEAD_BYTES: Final = 1 << 16
_MAX_BODY_BYTES: Final = 1 << 20
"""An SDP has a few hundred bytes; what is longer is no answer of a camera."""
_MAX_LINE_BYTES: Final = 4000
"""FFmpeg keeps 4095 of a line."""
_MIN_PACKET_BYTES: Final = 8
"""FFmpeg reads the bytes of a shorter packet as text."""
_BLOCK_BYTES: Final = 1 << 16
_STATUS_LINE: Final = re.compile(rb"RTSP/[0-9.]+ +([0-9]{3})(?: (.*))?")
_REQUEST_LINE: Final = re.compile(rb"[A-Z_]{1,32} \S+ RTSP/[0-9.]+")
_NO_SUCH_TRANSPORT: Final = b"461"
_FRAME: Final = ord("$")
_NOT_PRINTABLE: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")


class RtspRelay:
    """One connection to a camera, and the port of this machine that FFmpeg is given for it.

    It ends by itself when either side closes.
    """

    def __init__(
        self, camera: socket.socket, *, accept_s: float, send_s: float, by_datagrams: bool = False
    ) -> None:
        """Listen for one connection and relay it, on a thread.

        Args:
            camera: Connected; the relay closes it.
            accept_s: Longest wait for FFmpeg.
            send_s: Longest wait for a camera that does not take what is sent to it.
            by_datagrams: Whether the camera is asked to send pictures over UDP.
        """
        self._camera, self._send_s = camera, send_s
        self._way = DatagramWay(camera) if by_datagrams else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(accept_s)
        self.port: int = self._listener.getsockname()[1]
        self.was_redirected = False
        """Whether the camera has sent FFmpeg elsewhere; set before the connection ends."""
        self.refuses_transport = False
        """Whether the camera does not send pictures in the way that it was asked for."""
        threading.Thread(target=self._run, name="rtsp-relay", daemon=True).start()

    def _run(self) -> None:
        with self._camera:
            try:
                with self._listener:
                    reader, _ = self._listener.accept()
            except OSError:
                return
            with reader, closing(self._way) if self._way else nullcontext():
                # A slow model reads late: then the camera waits, for as long as it likes.
                reader.settimeout(None)
                try:
                    self._relay(reader)
                except (OSError, RtspError):
                    return
                except RtspRedirect:
                    self.was_redirected = True

    def _relay(self, reader: socket.socket) -> None:
        answers = AnswerFilter(self._way)
        requests = None if self._way is None else RequestFilter(self._way)
        while True:
            datagrams = self._way.sockets if self._way is not None else ()
            ready, _, _ = select.select([self._camera, reader, *datagrams], [], [])
            if reader in ready:
                request = reader.recv(_BLOCK_BYTES)
                if not request:
                    return
                if requests is not None:
                    request = requests.filter(request)
                self._camera.settimeout(self._send_s)
                # A camera that has hung up may have sent more before: that is read first.
                with suppress(OSError):
                    self._camera.sendall(request)
            if self._camera in ready:
                for block in self._received():
                    if not block:
                        return
                    passed = answers.filter(block)
                    # Before FFmpeg hears of it, and gives up.
                    self.refuses_transport |= answers.refuses_transport
                    reader.sendall(passed)
            if self._way is not None:
                # Behind the answers: FFmpeg throws away what comes before that to PLAY.
                for packet in self._way.received():
                    reader.sendall(packet)

    def _received(self) -> Iterator[bytes]:
        """Yield what has arrived from the camera, without waiting; empty at the end.

        A socket of TLS may be readable without a byte for us, and hold more than it shows.
        """
        self._camera.settimeout(0)
        with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while True:
                block = self._camera.recv(_BLOCK_BYTES)
                yield block
                if not block or not isinstance(self._camera, ssl.SSLSocket):
                    return


class RtspError(Exception):
    """Bytes of a camera that are no RTSP."""


class RtspRedirect(Exception):
    """An answer that sends to another address."""


class AnswerFilter:
    """Filter of the bytes of a camera: messages are read and written anew, packets pass."""

    def __init__(self, way: DatagramWay | None = None) -> None:
        """Start before the first byte.

        Args:
            way: Of packets that come as datagrams, which answers are put right for.
        """
        self.refuses_transport = False
        """Whether an answer said so."""
        self._way = way
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._body_left = 0

    def filter(self, block: bytes) -> bytes:
        """Take the next bytes, and return what may be passed on by now.

        Raises:
            RtspRedirect: An answer of status 3xx.
            RtspError: A head or a body without end.
        """
        buffer, passed = self._buffer, bytearray()
        buffer += block
        at = 0
        while at < len(buffer):
            if self._body_left:
                end = min(len(buffer), at + self._body_left)
                self._body_left -= end - at
                passed += buffer[at:end]
            elif buffer[at] == _FRAME:
                n_bytes = int.from_bytes(buffer[at + 2 : at + 4], "big")
                end = at + 4 + n_bytes
                if len(buffer) < max(end, at + 4):
                    break
                self._lines.clear()
                if n_bytes >= _MIN_PACKET_BYTES:
                    passed += buffer[at:end]
            else:
                end = buffer.find(b"\n", at) + 1
                if not end:
                    break
                passed += self._line(bytes(buffer[at:end]))
            at = end
        del buffer[:at]
        if len(buffer) > _MAX_HEAD_BYTES + 4:
            raise RtspError("a line without end")
        return bytes(passed)

    def _line(self, line: bytes) -> bytes:
        """Take a line of a head; return the head when this line ends it."""
        line = line.replace(b"\r", b"").removesuffix(b"\n")
        if line:
            self._lines.append(line)
            if sum(map(len, self._lines)) > _MAX_HEAD_BYTES:
                raise RtspError("a head without end")
            return b""
        lines, self._lines = self._lines, []
        return self._message(lines[0], lines[1:]) if lines else b""

    def _message(self, first: bytes, headers: list[bytes]) -> bytes:
        status = _STATUS_LINE.fullmatch(first)
        if status is not None:
            if status[1].startswith(b"3"):
                raise RtspRedirect
            self.refuses_transport |= status[1] == _NO_SUCH_TRANSPORT
            first = b"RTSP/1.0 %b %b" % (status[1], status[2] or b"-")
        elif _REQUEST_LINE.fullmatch(first) is None:
            # FFmpeg skips it as well: some cameras write notes between the packets.
            return b""
        kept = [first]
        for header in headers:
            name, _, value = header.partition(b":")
            if name.strip().lower() == b"content-length":
                self._body_left = _body_bytes(value)
            elif name.strip().lower() == b"transport" and self._way is not None:
                kept.append(b"Transport: " + self._way.answered(value))
            elif name.strip().lower() != b"location":
                kept.append(header)
        if self._body_left:
            kept.append(b"Content-Length: %d" % self._body_left)
        lines = [_NOT_PRINTABLE.sub(b"?", line)[:_MAX_LINE_BYTES] for line in kept]
        return b"\r\n".join([*lines, b"", b""])


def connect_camera(
    address: str, port: int, *, timeout_s: float, tls_name: str | None = None
) -> socket.socket:
    """Connect to a camera.

    Args:
        address: A literal one.
        tls_name: Its host for a connection by TLS; `None` for a plain one. Certificates are not
            checked: cameras sign theirs themselves.
    Raises:
        OSError: Nobody answers there.
    """
    camera = socket.create_connection((address, port), timeout=timeout_s)
    if tls_name is None:
        return camera
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(camera, server_hostname=tls_name)
    except BaseException:
        camera.close()
        raise


def _body_bytes(value: bytes) -> int:
    text = value.strip()
    n_bytes = int(text) if re.fullmatch(rb"[0-9]{1,9}", text) else 0
    if n_bytes > _MAX_BODY_BYTES:
        raise RtspError("a body that is too large")
    return n_bytes
