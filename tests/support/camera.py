"""A camera over HTTP that wants a name and a password, and may break off or send elsewhere."""

import base64
import hashlib
import http.server
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.request import parse_http_list, parse_keqv_list

NAME, PASSWORD = "viewer", "s3cr/t@#?"
"""Characters that an address must escape."""
QUOTED_PASSWORD = "s3cr%2Ft%40%23%3F"

_LONGEST_HOLD_S = 300.0

Scheme = Literal["none", "basic", "digest"]


@dataclass(slots=True)
class Camera:
    """A running camera: its address, and what it saw."""

    port: int
    answers: list[int] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def address(self, sign_in: str = f"{NAME}:{QUOTED_PASSWORD}@", host: str = "127.0.0.1") -> str:
        return f"http://{sign_in}{host}:{self.port}/live.ts"


@contextmanager
def open_camera(
    parts: list[bytes],
    scheme: Scheme = "none",
    *,
    redirect: str | None = None,
    held: threading.Event | None = None,
) -> Iterator[Camera]:
    """Serve one part for each connection that is let in; further ones find nothing.

    Args:
        parts: MPEG-TS, taken from the front and not put back.
        redirect: Where every request is sent instead.
        held: Behind its part a connection stays open, without another byte, until this is set.
    """
    nonce = secrets.token_hex(8)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            camera.hosts.append(self.headers.get("Host", ""))
            if redirect is not None:
                self._answer(302, Location=redirect)
            elif not is_let_in(scheme, nonce, self.headers.get("Authorization", ""), "GET"):
                self._answer(401, **{"WWW-Authenticate": challenge(scheme, nonce)})
            elif not parts:
                self._answer(503)
            else:
                self._answer(200, **{"Content-Type": "video/mp2t"})
                self.wfile.write(parts.pop(0))
                if held is not None:
                    self.wfile.flush()
                    held.wait(_LONGEST_HOLD_S)

        def _answer(self, status: int, **headers: str) -> None:
            camera.answers.append(status)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    camera = Camera(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield camera
    finally:
        server.shutdown()
        server.server_close()


def challenge(scheme: Scheme, nonce: str) -> str:
    """The header that asks for a name and a password."""
    if scheme == "basic":
        return 'Basic realm="cam"'
    return f'Digest realm="cam", qop="auth", nonce="{nonce}", algorithm=MD5'


def is_let_in(scheme: Scheme, nonce: str, header: str, method: str) -> bool:
    """Whether an authorization header fits the challenge."""
    if scheme == "none":
        return True
    if scheme == "basic":
        return header == "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    if not header.startswith("Digest "):
        return False
    given = parse_keqv_list(parse_http_list(header.removeprefix("Digest ")))
    inner = _md5(f"{NAME}:cam:{PASSWORD}"), _md5(f"{method}:{given.get('uri', '')}")
    middle = ":".join(given.get(key, "") for key in ("nc", "cnonce", "qop"))
    expected = _md5(f"{inner[0]}:{nonce}:{middle}:{inner[1]}")
    return given.get("nonce") == nonce and given.get("response") == expected


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
