"""Bounds on what a request sends: bytes, counted before they are kept, and seconds.

request -> AuthMiddleware -> BodyLimitMiddleware: small bodies read whole -> route
                                               `-> uploads: passed on as they arrive

Decision: a small body is read before its route runs, so that a slow or a large one never holds a
thread or a temporary file; what arrives for uploads is counted by their own rules.
"""

import asyncio
import json
import re
from typing import Final

import h11
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_SIGN_IN_BYTES: Final = 64 << 10
MAX_BODY_BYTES: Final = 2 << 20
MAX_QUESTION_BYTES: Final = 24 << 20
"""Of a question with images: the most that `limits.image_bytes` allows, in base64."""
HEADERS_TIMEOUT_S: Final = 10.0
"""Longest wait for the head of a request, which a browser sends at once."""
BODY_TIMEOUT_S: Final = 30.0
"""Longest wait for a whole small body, and for the next piece of an upload."""

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_QUESTIONS: Final = re.compile(
    r"/api/v1/ask|/v1/chat/completions"
    r"|/ui/gradio_api/(upload|mcp/?|queue/join|(run|call)/ask(_stream)?)"
)
_STREAMED: Final = re.compile(r"/api/v1/(uploads|needles)/[^/]+")


class BodyLimitMiddleware:
    """Refuses bodies that are too large or too slow before a route sees them."""

    def __init__(self, app: ASGIApp, *, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body, or answer why not."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        if scope["method"] != "DELETE" and _STREAMED.fullmatch(scope["path"]):
            await self._app(scope, self._with_timeout(receive), send)
            return
        most_bytes = MAX_SIGN_IN_BYTES if scope["path"].startswith("/sign-in") else MAX_BODY_BYTES
        if _QUESTIONS.fullmatch(scope["path"]):
            most_bytes = MAX_QUESTION_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most_bytes:
            await _refuse(send, 413, "too_large", f"a body has at most {most_bytes} bytes here")
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await _read(receive, most_bytes)
        except TimeoutError:
            await _refuse(send, 408, "too_slow", f"the body took more than {self._timeout_s:g} s")
            return
        if body is None:
            await _refuse(send, 413, "too_large", f"a body has at most {most_bytes} bytes here")
            return
        await self._app(scope, _replay(body, receive), send)

    def _with_timeout(self, receive: Receive) -> Receive:
        is_complete = False

        async def timed() -> Message:
            nonlocal is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout(self._timeout_s):
                    message = await receive()
            except TimeoutError:
                # What has arrived is kept, as from a client that went away.
                return {"type": "http.disconnect"}
            is_complete = not message.get("more_body", False)
            return message

        return timed


class HeaderTimeoutProtocol(H11Protocol):
    """A connection that is closed when the head of a request does not arrive in time."""

    headers_timeout_s = HEADERS_TIMEOUT_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the wait ends with a whole head, and begins with the next request."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._timer is None:
            self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait with the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._timer = self.loop.call_later(self.headers_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _read(receive: Receive, most_bytes: int) -> bytes | None:
    """Return the whole body; `None` if it has more bytes than allowed."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return the body as one message; behind it, whether the client has gone."""
    is_read = False

    async def replayed() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        # The rest of the body is not waited for.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
