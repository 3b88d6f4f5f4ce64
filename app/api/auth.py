"""Sign-in, roles, tokens, and the gate that every route passes.

request -> host known? -> who is it? -> open to all, or signed in? -> same origin? -> our route

Decision: the gate is one ASGI layer around everything, closed unless a path is named open, because
Gradio's own routes carry no login check on some paths. Of Gradio only pages and their files are
let through: no handler of ours runs behind it, so its uploads, queues and proxies have no use.
Decision: a state change with a cookie needs the same origin and, on the API, the token of the
session; a bearer token needs neither, because no browser sends it by itself.
"""

import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.rate_limit import SignInRateLimit
from app.errors import NotAllowedError
from app.services.credentials import hash_secret, matches, new_secret
from engine.records import VideoId
from storage.catalog import Catalog, utc_now
from storage.records import UserRow

COOKIE: Final = "longwatch_session"
CSRF_HEADER: Final = "x-csrf-token"
SESSION_DAYS: Final = 14
LINK_HOURS: Final = 24
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_log = logging.getLogger(__name__)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = re.compile(r"/(healthz|readyz|sign-in|favicon\.(?:svg|ico)|assets/[\w./-]+)")
_GRADIO = re.compile(
    r"/ui/?([a-z]+/?)?"  # pages
    r"|/ui/(assets|static)/[\w./@-]+"
    r"|/ui/(theme\.css|config/?|manifest\.json|gradio_api/startup-events)"
)
_API = ("/api/", "/v1/", "/media/", "/metrics")

# Gradio compiles templates in the browser (`unsafe-eval`) and styles inline; nothing may be
# loaded from, or sent to, any other host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever a request speaks for."""

    user: UserRow
    csrf: str = field(repr=False)
    """Empty for a bearer token, which needs none."""
    granted: frozenset[VideoId] | None
    """The videos of a viewer; `None` for an admin, who sees all."""

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return self.granted is None

    def may_see(self, video: VideoId) -> bool:
        """Whether a video exists for this user."""
        return self.granted is None or video in self.granted


class SessionService:
    """Signs people in and out, and knows who a request speaks for."""

    def __init__(self, catalog: Catalog, *, clock: Callable[[], float]) -> None:
        self._accounts = catalog.accounts
        self._rate_limit = SignInRateLimit(clock)

    def sign_in(self, name: str, password: str, address: str) -> tuple[str, UserRow]:
        """Open a session by name and password.

        Returns:
            The secret for the cookie, and who signed in.
        Raises:
            NotAllowedError: Name or password are wrong, or there were too many tries.
        """
        keys = (f"address {address}", f"name {name}")
        self._rate_limit.check(*keys)
        user = self._accounts.user(name)
        stored = None if user is None else user.password_hash
        if not matches(stored, password) or user is None or stored is None:
            self._rate_limit.record_failure(*keys)
            # A name that nobody has may be a password in the wrong field.
            known = "an unknown name" if user is None else f"user {user.name}"
            _log.warning("sign-in refused for %s from %s: wrong password", known, address)
            raise NotAllowedError("the name or the password is wrong")
        _log.info("user %s signed in with a password from %s", user.name, address)
        return self._open(user), user

    def redeem_link(self, link_secret: str, address: str) -> str:
        """Open a session by a one-time link.

        Raises:
            NotAllowedError: The link was used, has run out, or never was.
        """
        key = f"address {address}"
        self._rate_limit.check(key)
        found = self._accounts.use_token(hash_secret(link_secret), "sign_in")
        if found is None:
            self._rate_limit.record_failure(key)
            _log.warning("sign-in link refused from %s", address)
            raise NotAllowedError(
                "this link was used already or has expired",
                hint="start `longwatch serve` again for a new one, or sign in with a password",
            )
        _log.info("user %s signed in with a link from %s", found[0].name, address)
        return self._open(found[0])

    def sign_out(self, secret: str) -> None:
        """Close the session of a cookie."""
        self._accounts.close_session(hash_secret(secret))

    def authenticate(self, headers: Headers) -> Principal | None:
        """Who a request speaks for: its bearer token if it has one, else its cookie."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self._accounts.use_token(hash_secret(token.strip()), "api")
            return None if found is None else self._principal(found[0], csrf="")
        secret = cookie_secret(headers)
        session = None if secret is None else self._accounts.session(hash_secret(secret))
        return None if session is None else self._principal(session.user, csrf=session.csrf)

    def issue_link(self, user: UserRow) -> str:
        """A secret that signs `user` in once."""
        secret = new_secret()
        self._accounts.add_token(
            user.id,
            "sign-in link",
            hash_secret(secret),
            kind="sign_in",
            expires_at=utc_now() + timedelta(hours=LINK_HOURS),
        )
        return secret

    def _open(self, user: UserRow) -> str:
        secret = new_secret()
        self._accounts.open_session(
            user.id,
            hash_secret(secret),
            csrf=new_secret(),
            expires_at=utc_now() + timedelta(days=SESSION_DAYS),
        )
        return secret

    def _principal(self, user: UserRow, *, csrf: str) -> Principal:
        granted = None if user.role == "admin" else self._accounts.granted(user.id)
        return Principal(user=user, csrf=csrf, granted=granted)


class AuthMiddleware:
    """The outermost layer: puts a `Principal` on the request, or ends it here."""

    def __init__(
        self, app: ASGIApp, doorman: SessionService, *, hosts: frozenset[str] | None
    ) -> None:
        """Guard an application.

        Args:
            hosts: Names this server answers to; `None` for any. A server on loopback takes only
                loopback names, so that no foreign page reaches it by re-pointing its own name.
        """
        self._app = app
        self._doorman = doorman
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with what is missing."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(scope, send)
        refusal = await self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, guarded)
        else:
            await refusal(guarded)

    async def _refusal(self, scope: Scope) -> "_Rejection | None":
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        if self._hosts is not None and _host_name(headers) not in self._hosts:
            return _Rejection(421, "wrong_host", "this server does not answer to that name")
        principal = await run_in_threadpool(self._doorman.authenticate, headers)
        scope.setdefault("state", {})["principal"] = principal
        if method not in _SAFE_METHODS and not _same_origin(headers, principal):
            return _Rejection(403, "cross_site", "this request came from another site")
        if _OPEN.fullmatch(path):
            return None
        if principal is None:
            return _Rejection.for_strangers(path, scope, headers)
        if path.startswith("/ui") and not (method in _SAFE_METHODS and _GRADIO.fullmatch(path)):
            return _Rejection(404, "not_found", "there is nothing here")
        if method not in _SAFE_METHODS and principal.csrf and path.startswith(_API):
            given = headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given, principal.csrf):
                return _Rejection(403, "csrf", "the token of the session is missing or wrong")
        return None


@dataclass(frozen=True, slots=True)
class _Rejection:
    status: int
    code: str
    message: str
    location: str | None = None

    @classmethod
    def for_strangers(cls, path: str, scope: Scope, headers: Headers) -> "_Rejection":
        """Browsers are led to the sign-in page, programs get a 401."""
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            target = quote(path + (f"?{query}" if query else ""), safe="")
            return cls(303, "sign_in", "sign in first", f"/sign-in?next={target}")
        return cls(401, "sign_in", "sign in first")

    async def __call__(self, send: Send) -> None:
        body = json.dumps({"error": {"code": self.code, "message": self.message}}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        if self.location is not None:
            headers["location"] = self.location
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="longwatch"'
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def cookie_secret(headers: Mapping[str, str]) -> str | None:
    """The secret of the session cookie, if there is one."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def safe_redirect(target: str | None) -> str:
    """Where to go after signing in: only a path of this server, else the start page."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(target)
    clean = not parts.scheme and not parts.netloc and "\\" not in target and target.isprintable()
    return target if clean else "/"


def _host_name(headers: Headers) -> str:
    return urlsplit(f"//{headers.get('host', '')}").hostname or ""


def _same_origin(headers: Headers, principal: Principal | None) -> bool:
    """Whether a state change comes from one of our own pages, or from no page at all."""
    if principal is not None and not principal.csrf:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _with_headers(scope: Scope, send: Send) -> Send:
    """Say with every answer what the browser may do with it."""
    path = scope["path"]

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = _POLICY
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
            headers["cross-origin-resource-policy"] = "same-origin"
            headers["cross-origin-opener-policy"] = "same-origin"
            headers["permissions-policy"] = "camera=(), microphone=(), geolocation=()"
            if path.startswith("/api/") and "cache-control" not in headers:
                headers["cache-control"] = "no-store"
        await send(message)

    return sender
