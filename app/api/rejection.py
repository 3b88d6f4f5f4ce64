"""Answers to requests that may not pass: JSON for programs, a page or the sign-in for people."""

import json
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope, Send

from app.api.openai_errors import error_body


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that says why a request may not pass."""

    status: int
    code: str
    message: str
    location: str | None = None
    page: str | None = None
    """What a browser shows in place of the message."""

    @classmethod
    def for_anonymous(cls, path: str, scope: Scope, headers: Headers) -> "Rejection":
        """Return a redirect to the sign-in page for browsers, status 401 for programs."""
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            target = quote(path + (f"?{query}" if query else ""), safe="")
            return cls(303, "sign_in", "sign in first", f"/sign-in?next={target}")
        return cls(401, "sign_in", "sign in first")

    async def __call__(self, path: str, send: Send) -> None:
        """Send it to whoever asked for a path."""
        detail = {"code": self.code, "message": self.message}
        body = json.dumps(error_body(path, self.status, detail)).encode()
        kind = "application/json"
        if self.page is not None:
            body, kind = self.page.encode(), "text/html; charset=utf-8"
        headers = {"content-type": kind, "content-length": str(len(body))}
        if self.location is not None:
            headers["location"] = self.location
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="longwatch"'
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
