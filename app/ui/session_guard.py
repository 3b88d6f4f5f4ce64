"""Events of Gradio belong to the user who made them.

Gradio sends the results of queued events to whoever names their session hash, which the browser
chooses. Here the id of the signed-in user is put before the hash in every request that carries one,
before Gradio sees it: with another user's hash, nobody reaches more than an empty session of their
own. Pages lose the query fields by which Gradio would look up a page or a state.

Files are taken only where a question may have pictures, and each is shown to the user who sent it.
"""

import json
import re
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode

import fastapi
from gradio.queueing import Queue
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui.caller import find_principal
from app.ui.picture_uploads import PictureUploads, without_compression

_STREAM: Final = re.compile(r".*/gradio_api/queue/data")
_RESULT: Final = re.compile(r".*/gradio_api/call/(?:v2/)?\w+/(\w+)")
_EVENT: Final = re.compile(r".*/gradio_api/(?:queue/join|cancel|(?:run|call)/\w+)/?")
_FIELD: Final = "session_hash"
_UPLOAD: Final = re.compile(r".*/gradio_api/upload")
_FILE: Final = re.compile(r".*/gradio_api/file=(.+)")
_PAGE: Final = re.compile(r"(?!.*/gradio_api/).*")
_OF_GRADIO: Final = frozenset({"page", "deep_link"})
"""Fields by which Gradio finds a page or a state of its own; an unknown page is an error there."""


class SessionGuard:
    """The application of the pages, behind sessions that are bound to users."""

    def __init__(
        self, app: ASGIApp, queue: Callable[[], Queue], *, takes_uploads: bool = False
    ) -> None:
        """Guard an application.

        Args:
            queue: The queue of its events.
            takes_uploads: Whether sessions may send pictures.
        """
        self._app = app
        self._queue = queue
        self._takes_uploads = takes_uploads
        self._uploads = PictureUploads()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its session bound to its user."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        principal = find_principal(fastapi.Request(scope))
        owner = "" if principal is None else f"{principal.user.id}-"
        path = scope["path"]
        if _PAGE.fullmatch(path):
            scope = {**scope, "query_string": _without_gradios(scope["query_string"])}
        elif _STREAM.fullmatch(path):
            scope = {**scope, "query_string": _bound_query(scope["query_string"], owner)}
        elif scope["method"] == "POST" and _EVENT.fullmatch(path):
            body = _bound_body(await _read(receive), owner)
            scope = {**scope, "headers": _resized(scope, len(body))}
            receive = _replay(body, receive)
        elif (match := _RESULT.fullmatch(path)) and not self._is_of(match[1], owner):
            await _not_found("no such event")(scope, receive, send)
            return
        elif _UPLOAD.fullmatch(path):
            if not self._takes_uploads or principal is None or principal.scopes is not None:
                await _not_found("no file is taken here")(scope, receive, send)
                return
            scope, send = without_compression(scope), self._uploads.noting(owner, send)
        elif (match := _FILE.fullmatch(path)) and not self._uploads.has(owner, match[1]):
            await _not_found("no such file")(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_of(self, event_id: str, owner: str) -> bool:
        """Return whether an event is one of a user's own."""
        queue = self._queue()
        event = queue.event_ids_to_events.get(event_id)
        if event is not None:
            return str(event.session_hash).startswith(owner)
        sessions = queue.pending_event_ids_session.items()
        return any(event_id in events for name, events in sessions if name.startswith(owner))


def _not_found(message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": "not_found", "message": message}}, status_code=404)


def _without_gradios(query: bytes) -> bytes:
    """Return the query string of a page without what only Gradio would read."""
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if _OF_GRADIO.isdisjoint(name for name, _ in fields):
        return query
    return urlencode([field for field in fields if field[0] not in _OF_GRADIO]).encode()


def _bound_query(query: bytes, owner: str) -> bytes:
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    bound = [(name, owner + text if name == _FIELD else text) for name, text in fields]
    return urlencode(bound).encode()


def _bound_body(body: bytes, owner: str) -> bytes:
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if not isinstance(document, dict):
        return body
    # A call without a hash gets one, so that its user alone finds the result.
    session = document.get(_FIELD) or secrets.token_hex(16)
    return json.dumps({**document, _FIELD: f"{owner}{session}"}).encode()


async def _read(receive: Receive) -> bytes:
    """Return a body, whose size was bounded before."""
    blocks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(blocks)
        blocks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(blocks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body once, and then whatever else the client sends."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def _resized(scope: Scope, n_bytes: int) -> list[tuple[bytes, bytes]]:
    headers = MutableHeaders(raw=list(scope["headers"]))
    headers["content-length"] = str(n_bytes)
    return headers.raw
