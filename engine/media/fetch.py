"""GET requests to one server at the address that was checked: no redirect, no proxy, no file."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from engine.errors import FeedRefusedError, LongwatchError, MediaRefusedError, UnreachableError
from engine.media.address import IpAddress
from engine.media.relay import connect_camera

_BLOCK_BYTES: Final = 1 << 16


class Fetcher:
    """GET requests to one scheme, host and port, with one sign-in."""

    def __init__(
        self, parts: SplitResult, address: IpAddress, shown: str, timeout_s: tuple[float, float]
    ) -> None:
        sign_in, _, host = parts.netloc.rpartition("@")
        self.base = urlunsplit(parts._replace(netloc=host, fragment=""))
        self._origin = _origin(parts)
        self._shown, self._has_sign_in = shown, bool(sign_in)
        self._timeout_s = timeout_s[1]
        name, _, password = sign_in.partition(":")
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        root = urlunsplit(parts._replace(netloc=host, path="/", query="", fragment=""))
        passwords.add_password(None, root, unquote(name), unquote(password))
        self._opener = urllib.request.OpenerDirector()
        # No proxy, no redirect, no file.
        self._opener.add_handler(_CheckedHandler(address, connect_s=timeout_s[0]))
        self._opener.add_handler(urllib.request.HTTPErrorProcessor())
        self._opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
        if sign_in:
            self._opener.add_handler(_DigestOnce(passwords))
            self._opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))

    def resolved(self, base: str, uri: str) -> str:
        """Return the address of what a playlist names.

        Raises:
            MediaRefusedError: It lies elsewhere than the playlist.
        """
        try:
            address = urljoin(base, uri)
            parts = urlsplit(address)
            is_here = "@" not in parts.netloc and _origin(parts) == self._origin
        except ValueError:
            is_here = False
        if not is_here or not address.isprintable():
            raise MediaRefusedError(
                self._shown,
                "its playlist names another address, which is not opened",
                hint="give the address of the playlist that lies beside its segments",
            )
        return urlunsplit(parts._replace(fragment=""))

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
                    raise self._unreachable()
                is_whole_file = answer.status != 206
        except urllib.error.HTTPError as error:
            error.close()
            raise self._denied(error.code) from None
        except LongwatchError:
            raise
        except (OSError, ValueError, http.client.HTTPException):
            raise self._unreachable() from None
        if span is not None and is_whole_file:
            data = data[span[0] : sum(span)]
        return bytes(data)

    def _denied(self, status: int) -> UnreachableError:
        if status in {404, 410}:
            error = self._unreachable()
            return GoneError(error.message, hint=error.hint)
        if status not in {401, 403}:
            return self._unreachable()
        return FeedRefusedError(
            f"{self._shown}: the camera refuses this name and password"
            if self._has_sign_in
            else f"{self._shown}: the camera wants a name and a password",
            hint="write them before the host: http://name:password@host/..., with %40 for @",
        )

    def _unreachable(self) -> UnreachableError:
        return UnreachableError(
            f"{self._shown}: nobody answers there with video",
            hint="check the address, the camera and the network",
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
    """Connections to the address that was checked, whatever name a request is for."""

    http_request = urllib.request.AbstractHTTPHandler.do_request_
    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, address: IpAddress, *, connect_s: float) -> None:
        super().__init__()
        self._address, self._connect_s = str(address), connect_s

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request."""
        return self.do_open(
            self._connection(http.client.HTTPConnection, is_encrypted=False), request
        )

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Send a request, encrypted."""
        return self.do_open(
            self._connection(http.client.HTTPSConnection, is_encrypted=True), request
        )

    def _connection(self, kind: Any, *, is_encrypted: bool) -> Any:
        address, connect_s = self._address, self._connect_s

        class Connection(kind):  # type: ignore[misc]
            def connect(self) -> None:
                self.sock = connect_camera(
                    address,
                    self.port,
                    timeout_s=connect_s,
                    tls_name=self.host if is_encrypted else None,
                )
                self.sock.settimeout(self.timeout)

        return Connection


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    scheme = parts.scheme.lower()
    default = {"http": 80, "https": 443}.get(scheme, 0)
    return scheme, (parts.hostname or "").lower(), parts.port or default
