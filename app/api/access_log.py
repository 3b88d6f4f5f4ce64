"""The outermost middleware: a request id, an access log, and an answer to unexpected errors.

request -> id accepted or made -> AuthMiddleware -> ... -> X-Request-ID on the answer, access line

A line names method, path, status, duration and user. The query string is left out, because it
holds sign-in links and search text.
"""

import json
import logging
import re
import secrets
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logging import REQUEST_ID

HEADER: Final = "x-request-id"

_log = logging.getLogger(__name__)
_ACCEPTED = re.compile(r"[\w.-]{1,64}", re.ASCII)
# Probes and page assets would drown everything else: they are logged at DEBUG.
_FREQUENT = re.compile(r"/(healthz|readyz|metrics|favicon\.\w+|assets/.*|ui/(assets|static)/.*)")


class AccessLogMiddleware:
    """Gives every HTTP request an id and a line in the log, and answers unexpected errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        reset = REQUEST_ID.set(request_id)
        started, status = time.monotonic(), 0

        async def sender(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, sender)
        except Exception:  # noqa: BLE001 - nothing may pass this edge unanswered
            # The server's edge: the traceback goes to the log, a sentence to the client.
            _log.exception("bug in %s %s", scope["method"], scope["path"])
            if not status:
                await _send_bug(sender, request_id)
        finally:
            _log_access(scope, status, (time.monotonic() - started) * 1000)
            REQUEST_ID.reset(reset)


def bug_message(request_id: str | None) -> str:
    """Return the sentence that a client gets in place of a traceback."""
    where = "" if request_id is None else f" under request id {request_id}"
    return f"this is a bug in Longwatch; the log of the server has the details{where}"


def _request_id(headers: Headers) -> str:
    given = headers.get(HEADER, "")
    return given if _ACCEPTED.fullmatch(given) else secrets.token_hex(8)


async def _send_bug(send: Send, request_id: str) -> None:
    error = {"code": "bug", "message": bug_message(request_id)}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _log_access(scope: Scope, status: int, took_ms: float) -> None:
    principal = scope.get("state", {}).get("principal")
    user = None if principal is None else principal.user.name
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_ms": round(took_ms, 1),
        "user": user,
        "address": scope["client"][0] if scope.get("client") else None,
    }
    level = logging.DEBUG if _FREQUENT.fullmatch(scope["path"]) else logging.INFO
    _log.log(
        level,
        "%s %s %d in %.0f ms, %s",
        scope["method"],
        scope["path"],
        status,
        took_ms,
        "anonymous" if user is None else f"user {user}",
        extra=fields,
    )
