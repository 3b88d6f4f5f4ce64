"""A camera over RTSP: H.264 as RTP inside the control connection, behind Basic or Digest.

Source: RFC 2326 (RTSP, interleaved data in 10.12), RFC 6184 (packets of H.264).
"""

import base64
import io
import re
import secrets
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import av

from tests.support.camera import NAME, QUOTED_PASSWORD, Scheme, challenge, is_let_in

_MAX_PAYLOAD_BYTES: Final = 1400
_FRAGMENT: Final = 28
_PARAMETER_SETS: Final = (7, 8)


@dataclass(slots=True)
class RtspCamera:
    """A running camera: its address, and what it was asked and answered."""

    port: int
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and address of each request."""
    answers: list[int] = field(default_factory=list)
    scheme: str = "rtsp"

    def address(self, sign_in: str = f"{NAME}:{QUOTED_PASSWORD}@", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{sign_in}{host}:{self.port}/live"

    @property
    def n_played(self) -> int:
        """Connections that got pictures."""
        return sum(method == "PLAY" for method, _ in self.requests)


@contextmanager
def open_rtsp_camera(
    parts: list[bytes],
    scheme: Scheme = "none",
    *,
    redirect: str | None = None,
    redirect_at: str = "DESCRIBE",
    raw_redirect: bytes | None = None,
    wakes_after_s: float = 0.0,
    by_datagrams: bool = False,
    disturb: Callable[[list[bytes]], list[bytes]] = list,
    tls: ssl.SSLContext | None = None,
) -> Iterator[RtspCamera]:
    """Serve one part for each connection that plays; then the connection is closed.

    Args:
        parts: MPEG-TS of H.264, taken from the front and not put back.
        redirect: Where the requests of one method are sent instead.
        redirect_at: That method.
        raw_redirect: Sent in place of a well-formed redirect.
        wakes_after_s: Silence before the first answer of a connection.
        by_datagrams: Whether it sends over UDP alone; pictures come a hundred a second then.
        disturb: What happens to all its datagrams on the way.
        tls: With a certificate, for a camera that speaks TLS alone.
    """
    nonce = secrets.token_hex(8)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            time.sleep(wakes_after_s)
            while (request := self._request()) is not None:
                method, url, headers = request
                camera.requests.append((method, url))
                sign_in = headers.get("authorization", "")
                if redirect is not None and method == redirect_at:
                    if raw_redirect is not None:
                        self.wfile.write(raw_redirect)
                    else:
                        self._answer(302, headers, Location=redirect)
                elif not is_let_in(scheme, nonce, sign_in, method):
                    header = {"WWW-Authenticate": challenge(scheme, nonce)}
                    self._answer(401, headers, **header)
                elif method == "OPTIONS":
                    self._answer(200, headers, Public="OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                elif not parts:
                    self._answer(503, headers)
                elif method == "DESCRIBE":
                    kind = {"Content-Type": "application/sdp", "Content-Base": f"{url}/"}
                    self._answer(200, headers, _session_description(parts[0]), **kind)
                elif method == "SETUP" and by_datagrams:
                    self._set_up_datagrams(headers)
                elif method == "SETUP":
                    way = "RTP/AVP/TCP;unicast;interleaved=0-1"
                    self._answer(200, headers, Transport=way, Session="7;timeout=60")
                elif method == "PLAY":
                    self._answer(200, headers, Session="7")
                    if by_datagrams:
                        self._send_datagrams(parts.pop(0))
                        return
                    self.wfile.write(b"".join(_interleaved(parts.pop(0))))
                    return
                else:
                    self._answer(200, headers)

        def _set_up_datagrams(self, headers: dict[str, str]) -> None:
            ports = re.search(r"UDP;unicast;client_port=(\d+)-", headers["transport"])
            if ports is None:
                self._answer(461, headers)
                return
            self._port = int(ports[1])
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sender.bind(("127.0.0.1", 0))
            own = self._sender.getsockname()[1]
            way = f"RTP/AVP/UDP;unicast;client_port={ports[1]}-;server_port={own}-{own + 1}"
            self._answer(200, headers, Transport=way, Session="7;timeout=60")

        def _send_datagrams(self, part: bytes) -> None:
            with self._sender:
                for packet in disturb([packet[4:] for packet in _interleaved(part)]):
                    self._sender.sendto(packet, ("127.0.0.1", self._port))
                    time.sleep(0.01 if packet[1] & 0x80 else 0)
                time.sleep(0.3)

        def _request(self) -> tuple[str, str, dict[str, str]] | None:
            """The next request; reports that the reader sends in between are left out."""
            while (first := self.rfile.read(1)) == b"$":
                self.rfile.read(int.from_bytes(self.rfile.read(3)[1:], "big"))
            line = (first + self.rfile.readline()).decode().split()
            if len(line) < 2:
                return None
            headers = {}
            while text := self.rfile.readline().decode().strip():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            return line[0], line[1], headers

        def _answer(
            self, status: int, request: dict[str, str], body: bytes = b"", **headers: str
        ) -> None:
            camera.answers.append(status)
            headers = {"CSeq": request.get("cseq", "0"), **headers}
            if body:
                headers["Content-Length"] = str(len(body))
            lines = [f"RTSP/1.0 {status} X", *(f"{name}: {headers[name]}" for name in headers)]
            self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, object]:
            plain, peer = super().get_request()
            return plain if tls is None else tls.wrap_socket(plain, server_side=True), peer

        def handle_error(self, *_: object) -> None:
            """Say nothing: a reader may go whenever it likes."""

    server = Server(("127.0.0.1", 0), Handler)
    camera = RtspCamera(server.server_address[1], scheme="rtsp" if tls is None else "rtsps")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield camera
    finally:
        server.shutdown()
        server.server_close()


def _session_description(part: bytes) -> bytes:
    """The SDP of a part, with its parameter sets."""
    first = next(units for _, units in _pictures(part))
    sets = [unit for unit in first if unit[0] & 31 in _PARAMETER_SETS]
    encoded = ",".join(base64.b64encode(unit).decode() for unit in sets)
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={encoded}",
        "a=control:track1",
        "",
    )
    return "\r\n".join(lines).encode()


def _interleaved(part: bytes) -> Iterator[bytes]:
    """The RTP packets of a part, each behind the four bytes that mark it in the connection."""
    sequence = 0
    for pts, units in _pictures(part):
        payloads = [payload for unit in units for payload in _payloads(unit)]
        for place, payload in enumerate(payloads):
            marker = 0x80 if place == len(payloads) - 1 else 0
            head = bytes((0x80, 96 | marker)) + sequence.to_bytes(2, "big")
            packet = head + (pts % 2**32).to_bytes(4, "big") + b"cam1" + payload
            yield b"$\0" + len(packet).to_bytes(2, "big") + packet
            sequence = (sequence + 1) % 2**16


def _pictures(part: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The time of each picture in ticks of 90 kHz, and its NAL units."""
    with av.open(io.BytesIO(part), format="mpegts") as container:
        for packet in container.demux(video=0):
            if packet.pts is not None:
                data = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1")
                yield packet.pts, [unit for unit in data.split(b"\0\0\1") if unit]


def _payloads(unit: bytes) -> Iterator[bytes]:
    """A NAL unit as it is, or in fragments (FU-A) that fit a packet."""
    if len(unit) <= _MAX_PAYLOAD_BYTES:
        yield unit
        return
    indicator, kind = unit[0] & 0xE0 | _FRAGMENT, unit[0] & 31
    pieces = [unit[at : at + _MAX_PAYLOAD_BYTES] for at in range(1, len(unit), _MAX_PAYLOAD_BYTES)]
    for place, piece in enumerate(pieces):
        ends = (0x80 if place == 0 else 0) | (0x40 if place == len(pieces) - 1 else 0)
        yield bytes((indicator, ends | kind)) + piece
