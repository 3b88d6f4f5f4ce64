"""Sessions, API tokens and the middleware that every request passes.

request -> allowed host? -> authenticate -> same origin? -> signed in or open path? -> CSRF -> route

Decision: the gate is one ASGI layer around everything, closed unless a path is named open, because
Gradio's own routes carry no login check on some paths. Of Gradio only pages, their files and their
events are let through, and to a session the pictures that it puts beside a question, which
`app/ui/session_guard.py` tells apart: other files, streams and proxies have no use here.
Decision: a state change with a cookie needs the same origin and, on the API, the token of the
session; a bearer token needs neither, because no browser sends it by itself.
"""

import hmac
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.brand import NO_PAGE
from app.api.rate_limit import SignInRateLimit
from app.api.rejection import Rejection
from app.errors import NotAllowedError
from app.services.credentials import hash_secret, matches, new_secret
from engine.records import VideoId
from storage.catalog import Catalog, utc_now
from storage.records import CameraId, UserRow

COOKIE: Final = "longwatch_session"
CSRF_HEADER: Final = "x-csrf-token"
SESSION_DAYS: Final = 14
LINK_HOURS: Final = 24
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_log = logging.getLogger(__name__)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The routes of other servers check who signed a request themselves.
_OPEN = re.compile(
    r"/(healthz|readyz|sign-in(?:/link)?|sign-out|favicon\.(?:svg|ico)|assets/[\w./-]+"
    r"|internal/v1/(search|answer))"
)
_GRADIO = re.compile(
    r"/ui/?((cameras|watch|moments|search|probe|alerts|jobs|settings|models)/?)?"
    r"|/ui/(assets|static)/[\w./@-]+"
    r"|/ui/(theme\.css|config/?|manifest\.json|gradio_api/(startup-events|info|app_id))"
    r"|/ui/gradio_api/(queue/data|mcp/?|mcp/schema|call/\w{1,64}/\w{1,64}|file=/.+)"
)
# Files whose names or folders change with their contents.
_KEPT = re.compile(r"/ui/assets/|/assets/[0-9a-f]{12}/")
# Events of the pages and calls of the named endpoints. Their handlers take the user from the
# request and ask the services, as routes do (`app/ui/caller.py`).
_GRADIO_CALLS = re.compile(r"/ui/gradio_api/(queue/join|cancel|(run|call)/\w{1,64}|mcp|upload)/?")
_LINK = "(link)"
"""Name under which failed links are counted; no account can have it."""
_API = ("/api/", "/v1/", "/media/", "/metrics")

# What a bearer token never reaches: it could give itself, or a stranger, a way to stay.
_NOT_FOR_TOKENS = re.compile(r"/api/v1/(users|tokens|session/password)(/.*)?")
_NOT_WRITTEN_BY_TOKENS = re.compile(r"/api/v1/(settings|session|alert-destinations)(/.*)?")
# What asks by POST and changes nothing of the library; a handler of a page or of a named endpoint
# that changes it checks the scopes itself.
_ASKS = re.compile(r"/api/v1/(ask|search)(/.*)?|/api/v1/alert-rules/try|/v1/.*|/ui/gradio_api/.*")

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
    """The user that a request is authenticated as."""

    user: UserRow
    csrf: str = field(repr=False)
    """The CSRF token of the session; empty for a bearer token, which needs none."""
    granted: frozenset[VideoId] | None
    """The videos of a viewer; `None` for an admin, who sees all."""
    cameras: frozenset[CameraId] = frozenset()
    """The cameras of a viewer."""
    scopes: frozenset[str] | None = None
    """The rights of a bearer token; `None` for a session, which has all of its user's."""

    @property
    def is_admin(self) -> bool:
        """Whether the user is an admin."""
        return self.granted is None

    def may_see(self, video: VideoId) -> bool:
        """Return whether a video exists for this user."""
        return self.granted is None or video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        """Return whether a camera exists for this user."""
        return self.granted is None or camera in self.cameras


class SessionService:
    """Opens and closes sessions, and authenticates requests."""

    def __init__(self, catalog: Catalog, *, clock: Callable[[], float]) -> None:
        self._accounts = catalog.accounts
        self._cameras = catalog.cameras
        # Several servers count in one place, by the clock that all of them have.
        store = catalog.sign_in_failures if catalog.is_shared else None
        self._rate_limit = SignInRateLimit(time.time if store else clock, store)

    def sign_in(self, name: str, password: str, address: str) -> tuple[str, UserRow]:
        """Open a session by name and password.

        Returns:
            The secret for the cookie, and the user.
        Raises:
            NotAllowedError: The name or the password is wrong.
            BusyError: Too many sign-ins failed; a later one may pass.
        Cost: a hash, 64 MiB and about 0.1 s of a core.
        """
        with self.limited(name, address):
            user = self._accounts.user(name)
            stored = None if user is None else user.password_hash
            if not matches(stored, password) or user is None or stored is None:
                # A name that nobody has may be a password in the wrong field.
                subject = "an unknown name" if user is None else f"user {user.name}"
                _log.warning("sign-in refused for %s from %s: wrong password", subject, address)
                raise NotAllowedError("the name or the password is wrong")
        _log.info("user %s signed in with a password from %s", user.name, address)
        return self._open(user), user

    @contextmanager
    def limited(self, name: str, address: str) -> Iterator[None]:
        """Count the body of a `with` as a failed sign-in if it raises `NotAllowedError`.

        Raises:
            BusyError: Too many failed; a later one may pass.
        """
        self._rate_limit.begin_attempt(name, address)
        try:
            yield
        except NotAllowedError:
            raise
        except BaseException:
            self._rate_limit.succeed(name, address)
            raise
        self._rate_limit.succeed(name, address)

    def redeem_link(self, link_secret: str, address: str) -> str:
        """Open a session by a one-time link.

        Raises:
            NotAllowedError: The link was used, has expired, or never existed.
            BusyError: As `sign_in`.
        """
        with self.limited(_LINK, address):
            owner = self._accounts.use_token(hash_secret(link_secret), "sign_in")
            if owner is None:
                _log.warning("sign-in link refused from %s", address)
                raise NotAllowedError(
                    "this link was used already or has expired",
                    hint="restart `longwatch serve` for a new link, or sign in with a password",
                )
        user, _ = owner
        _log.info("user %s signed in with a link from %s", user.name, address)
        return self._open(user)

    def sign_out(self, secret: str) -> None:
        """Close the session of a cookie."""
        self._accounts.close_session(hash_secret(secret))

    def authenticate(self, headers: Headers) -> Principal | None:
        """Return the user of the bearer token if there is one, else of the session cookie."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            owner = self._accounts.use_token(hash_secret(token.strip()), "api")
            if owner is None:
                return None
            return self._principal(owner[0], csrf="", scopes=frozenset(owner[1].scopes))
        secret = cookie_secret(headers)
        session = None if secret is None else self._accounts.session(hash_secret(secret))
        return None if session is None else self._principal(session.user, csrf=session.csrf)

    def issue_link(self, user: UserRow) -> str:
        """Return the secret of a new link that signs a user in once."""
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

    def _principal(
        self, user: UserRow, *, csrf: str, scopes: frozenset[str] | None = None
    ) -> Principal:
        granted = None if user.role == "admin" else self._accounts.visible(user.id)
        cameras = self._cameras.granted(user.id)
        return Principal(user=user, csrf=csrf, granted=granted, cameras=cameras, scopes=scopes)


class AuthMiddleware:
    """Puts a `Principal` on every request that may pass, and answers the others itself."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: SessionService,
        *,
        hosts: frozenset[str] | None,
        media_origin: str | None = None,
    ) -> None:
        """Guard an application.

        Args:
            media_origin: Another origin that videos may come from; none without.
            hosts: Names this server answers to; `None` for any. A server on loopback takes only
                loopback names, so that no foreign page reaches it by re-pointing its own name.
        """
        self._app = app
        self._sessions = sessions
        self._hosts = hosts
        # A page may follow the address of a video to there, and nowhere else.
        self._policy = _POLICY.replace("media-src", f"media-src {media_origin or ''}".rstrip())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the reason why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(scope, send, self._policy)
        rejection = await self._check(scope)
        if rejection is None:
            await self._app(scope, receive, guarded)
        else:
            await rejection(scope["path"], guarded)

    async def _check(self, scope: Scope) -> Rejection | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        if self._hosts is not None and _host_name(headers) not in self._hosts:
            return Rejection(421, "wrong_host", "this server does not answer to this host name")
        principal = await run_in_threadpool(self._sessions.authenticate, headers)
        scope.setdefault("state", {})["principal"] = principal
        if method not in _SAFE_METHODS and not _same_origin(headers, principal):
            return Rejection(403, "cross_site", "this request came from another site")
        if _OPEN.fullmatch(path):
            return None
        if principal is None:
            return Rejection.for_anonymous(path, scope, headers)
        if principal.scopes is not None and not _in_scope(principal.scopes, method, path):
            return Rejection(403, "scope", "the scopes of this token do not allow this")
        if path.startswith("/ui") and not _is_of_pages(method, path):
            is_opened = method == "GET" and "text/html" in headers.get("accept", "")
            page = NO_PAGE if is_opened else None
            return Rejection(404, "not_found", "no such page", page=page)
        if method not in _SAFE_METHODS and principal.csrf and path.startswith(_API):
            # Bytes, because strings that are not ASCII cannot be compared this way.
            given = headers.get(CSRF_HEADER, "").encode()
            if not hmac.compare_digest(given, principal.csrf.encode()):
                return Rejection(403, "csrf", f"the header {CSRF_HEADER} is missing or wrong")
        return None


def cookie_secret(headers: Mapping[str, str]) -> str | None:
    """Return the secret of the session cookie, if there is one."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def safe_redirect(target: str | None) -> str:
    """Return where to go after signing in: a path of this server, else the start page."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(target)
    clean = not parts.scheme and not parts.netloc and "\\" not in target and target.isprintable()
    return target if clean else "/"


def client_address(request: Request) -> str:
    """Return the address of the client, as far as it is known."""
    return request.client.host if request.client else "unknown"


def _in_scope(scopes: frozenset[str], method: str, path: str) -> bool:
    """Return whether a token with these scopes may make a request."""
    if _NOT_FOR_TOKENS.fullmatch(path):
        return False
    if method in _SAFE_METHODS or _ASKS.fullmatch(path):
        return "read" in scopes
    return "write" in scopes and not _NOT_WRITTEN_BY_TOKENS.fullmatch(path)


def _is_of_pages(method: str, path: str) -> bool:
    """Return whether a request is one that the pages or the named endpoints need of Gradio."""
    if method in _SAFE_METHODS:
        return _GRADIO.fullmatch(path) is not None
    return method in {"POST", "DELETE"} and _GRADIO_CALLS.fullmatch(path) is not None


def _host_name(headers: Headers) -> str:
    return urlsplit(f"//{headers.get('host', '')}").hostname or ""


def _same_origin(headers: Headers, principal: Principal | None) -> bool:
    """Return whether a state change comes from a page of this server, or from no page at all."""
    if principal is not None and not principal.csrf:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _with_headers(scope: Scope, send: Send, policy: str) -> Send:
    """Add the security headers to every answer."""
    path = scope["path"]

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = policy
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
            headers["cross-origin-resource-policy"] = "same-origin"
            headers["cross-origin-opener-policy"] = "same-origin"
            headers["permissions-policy"] = "camera=(), microphone=(), geolocation=()"
            if path.startswith("/api/") and "cache-control" not in headers:
                headers["cache-control"] = "no-store"
            if _KEPT.match(path) and message["status"] == 200:
                headers["cache-control"] = "private, max-age=31536000, immutable"
        await send(message)

    return sender
