"""GET requests at addresses that were checked: no redirect, no proxy, no file.

Decision: what a playlist names may lie at other hosts, each checked as that of a camera is and
connected to at the address that was checked. None is nearer to this machine than the playlist
itself: one of the open net names no host of the house, and none names this machine but from it. So
whoever writes a playlist reaches nothing through Longwatch that lies behind its firewall.
"""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from engine.errors import FeedRefusedError, LongwatchError, MediaRefusedError, UnreachableError
from engine.media.address import WEB_SCHEMES, IpAddress, nearness, resolve_host
from engine.media.relay import connect_camera
from engine.media.unreachable import unreachable

_BLOCK_BYTES: Final = 1 << 16
_LONGEST_ANSWER_S: Final = 15.0
"""To a document; a camera that sends a byte now and then holds up nobody."""
_MOST_ORIGINS: Final = 16
"""Schemes, hosts and ports of one feed; a service has two or three."""

_Origin = tuple[str, str, int]


class Fetcher:
    """GET requests for one feed; its sign-in goes to its own scheme, host and port alone."""

    def __init__(
        self,
        parts: SplitResult,
        address: IpAddress,
        shown: str,
        timeout_s: tuple[float, float],
        *,
        allows_basic: bool = True,
    ) -> None:
        """Begin without a connection.

        Args:
            parts: Of the address, with the sign-in.
            address: That was checked, and is connected to.
            shown: The address, for messages.
            timeout_s: Longest wait for a connection, and for each read.
            allows_basic: Whether the password is sent as it is where it is asked for so.
        """
        sign_in, _, host = parts.netloc.rpartition("@")
        self.base = urlunsplit(parts._replace(netloc=host, fragment=""))
        self._origin = _origin(parts)
        self._addresses: dict[_Origin, IpAddress] = {self._origin: address}
        self._shown, self._has_sign_in = shown, bool(sign_in)
        self._timeout_s = timeout_s[1]
        name, _, password = sign_in.partition(":")
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        root = urlunsplit(parts._replace(netloc=host, path="/", query="", fragment=""))
        passwords.add_password(None, root, unquote(name), unquote(password))
        self._opener = urllib.request.OpenerDirector()
        # No proxy, no redirect, no file.
        self._opener.add_handler(_CheckedHandler(self._addresses, connect_s=timeout_s[0]))
        self._opener.add_handler(urllib.request.HTTPErrorProcessor())
        self._opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
        if sign_in:
            self._opener.add_handler(_DigestOnce(passwords))
            if allows_basic:
                self._opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))

    def resolved(self, base: str, uri: str) -> str:
        """Return the address of what a playlist names.

        Raises:
            MediaRefusedError: It lies where nothing is opened for this feed.
            UnreachableError: Its host has no address.
        """
        try:
            address = urljoin(base, uri)
            parts = urlsplit(address)
            is_allowed = "@" not in parts.netloc and self._may_open(parts)
        except ValueError:
            is_allowed = False
        if not is_allowed or not address.isprintable():
            raise MediaRefusedError(
                self._shown,
                "its playlist names another address, which is not opened",
                hint="give the address of the playlist that lies beside its segments",
            )
        return urlunsplit(parts._replace(fragment=""))

    def _may_open(self, parts: SplitResult) -> bool:
        """Return whether what a playlist names may be opened; its host is checked once."""
        origin = _origin(parts)
        if origin in self._addresses:
            return True
        scheme, host, _ = origin
        is_weaker = self._origin[0] == "https" and scheme != "https"
        is_full = len(self._addresses) >= _MOST_ORIGINS
        if scheme not in WEB_SCHEMES or not host or is_weaker or is_full:
            return False
        address = resolve_host(host, self._shown)
        if nearness(address) > nearness(self._addresses[self._origin]):
            return False
        self._addresses[origin] = address
        return True

    def fetch(
        self,
        address: str,
        max_bytes: int,
        *,
        span: tuple[int, int] | None = None,
        beat: Callable[[], None],
    ) -> bytes:
        """Return what stands at an address.

        Args:
            span: First byte and number of bytes.
            beat: Called while it comes.
        Raises:
            FeedRefusedError: It wants a name and a password, or others.
            UnreachableError: It cannot be had.
            MediaRefusedError: It is too large.
        """
        request = urllib.request.Request(address.replace(" ", "%20"))
        if span is not None:
            request.add_header("Range", f"bytes={span[0]}-{sum(span) - 1}")
        data = bytearray()
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                while block := answer.read(_BLOCK_BYTES):
                    data += block
                    if len(data) > max_bytes:
                        raise MediaRefusedError(self._shown, "a piece of it is too large")
                    beat()
                if answer.length:
                    raise unreachable(self._shown, None, is_web=True)
                is_whole_file = answer.status != 206
        except urllib.error.HTTPError as error:
            error.close()
            raise self._denied(error.code) from None
        except LongwatchError:
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise unreachable(self._shown, error, is_web=False) from None
        if span is not None and is_whole_file:
            data = data[span[0] : sum(span)]
        return bytes(data)

    def post(
        self, address: str, body: bytes, content_type: str, max_bytes: int
    ) -> tuple[int, bytes]:
        """Send a document, and return the status and what is answered, whatever the status.

        Raises:
            UnreachableError: Nobody answers, or nothing whole in time.
            MediaRefusedError: The answer is too large.
        """
        request = urllib.request.Request(
            address.replace(" ", "%20"), data=body, headers={"Content-Type": content_type}
        )
        deadline = time.monotonic() + _LONGEST_ANSWER_S
        data = bytearray()
        try:
            try:
                answer = self._opener.open(request, timeout=self._timeout_s)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                while block := answer.read1(_BLOCK_BYTES):
                    data += block
                    if len(data) > max_bytes:
                        raise MediaRefusedError(self._shown, "its answer is too large")
                    if time.monotonic() > deadline:
                        raise TimeoutError
                return answer.status or 0, bytes(data)
        except LongwatchError:
            raise
        except (OSError, ValueError, http.client.HTTPException):
            raise UnreachableError(
                f"{self._shown}: nobody answers there",
                hint="check the address, the camera and the network",
            ) from None

    def _denied(self, status: int) -> UnreachableError:
        if status in {404, 410}:
            error = unreachable(self._shown, status, is_web=True)
            return GoneError(error.message, hint=error.hint)
        if status not in {401, 403}:
            return unreachable(self._shown, status, is_web=True)
        return FeedRefusedError(
            f"{self._shown}: the camera refuses this name and password"
            if self._has_sign_in
            else f"{self._shown}: the camera wants a name and a password",
            hint="write them before the host: http://name:password@host/..., with %40 for @",
        )


class GoneError(UnreachableError):
    """The server answers, and has no such thing."""


class _DigestOnce(urllib.request.HTTPDigestAuthHandler):
    """Digest that tries a password once: cameras lock accounts that fail often."""

    def __init__(self, passwords: urllib.request.HTTPPasswordMgr) -> None:
        super().__init__(passwords)
        self.reset_retry_count()

    def reset_retry_count(self) -> None:
        """Leave one attempt of the six."""
        self.retried = 5


class _CheckedHandler(urllib.request.AbstractHTTPHandler):
    """Connections to the addresses that were checked, whatever names requests are for."""

    http_request = urllib.request.AbstractHTTPHandler.do_request_
    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, addresses: Mapping[_Origin, IpAddress], *, connect_s: float) -> None:
        super().__init__()
        self._addresses, self._connect_s = addresses, connect_s

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request."""
        return self._opened(request, http.client.HTTPConnection, is_encrypted=False)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request, encrypted."""
        return self._opened(request, http.client.HTTPSConnection, is_encrypted=True)

    def _opened(
        self, request: urllib.request.Request, kind: Any, *, is_encrypted: bool
    ) -> http.client.HTTPResponse:
        address = str(self._addresses[_origin(urlsplit(request.full_url))])
        connect_s = self._connect_s

        class Connection(kind):  # type: ignore[misc]
            def connect(self) -> None:
                self.sock = connect_camera(
                    address,
                    self.port,
                    timeout_s=connect_s,
                    tls_name=self.host if is_encrypted else None,
                )
                self.sock.settimeout(self.timeout)

        return self.do_open(Connection, request)


def _origin(parts: SplitResult) -> _Origin:
    scheme = parts.scheme.lower()
    default = {"http": 80, "https": 443}.get(scheme, 0)
    return scheme, (parts.hostname or "").lower(), parts.port or default
