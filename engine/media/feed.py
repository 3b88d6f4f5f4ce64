"""Opening of live feeds: the address that was checked is the one that is connected to."""

import ipaddress
from typing import Final
from urllib.parse import urlunsplit

import av
from av.container import InputContainer

from engine.errors import NetworkDisabledError, UnreachableError
from engine.media.address import (
    LIVE_SCHEMES,
    WEB_SCHEMES,
    parse_address,
    redact,
    resolve_host,
)

_DENIED: Final = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


def open_feed(
    uri: str, options: dict[str, str], *, timeout_s: tuple[float, float], allow_http: bool
) -> InputContainer:
    """Open a feed; redirects of a web address are not followed.

    Args:
        uri: With the sign-in of the camera.
        options: FFmpeg's, without protocols.
        timeout_s: Longest wait for the connection, and for each read.
        allow_http: Whether web addresses may be opened.
    Raises:
        MediaRefusedError: It is no address, or no camera has it.
        NetworkDisabledError: A web address, which may not be opened.
        UnreachableError: Nobody answers there, or the camera refuses.
    """
    parts, shown = parse_address(uri), redact(uri)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme in WEB_SCHEMES and not allow_http:
        raise NetworkDisabledError(shown)
    address = resolve_host(host, shown)
    options = dict(options)
    if scheme in LIVE_SCHEMES:
        options |= {"protocol_whitelist": "rtsp,rtp,udp,tcp,tls", "rtsp_transport": "tcp"}
        # Time stamps of RTP are unwrapped by FFmpeg on their own.
        options["correct_ts_overflow"] = "1"
        options["format_whitelist"] += ",rtsp,sdp"
    else:
        options |= {"protocol_whitelist": "http,https,tcp,tls,crypto", "max_redirects": "0"}
        # A bracketed or plain name as written, because the server may have several.
        options["headers"] = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
    if scheme.endswith("s") and not _is_literal(host):
        options["verifyhost"] = host
    # Not the name: it could lead elsewhere when it is looked up again.
    literal = f"[{address}]" if address.version == 6 else str(address)
    port = "" if parts.port is None else f":{parts.port}"
    sign_in = parts.netloc.rpartition("@")[0]
    netloc = f"{sign_in}@{literal}{port}" if sign_in else f"{literal}{port}"
    try:
        return av.open(
            urlunsplit(parts._replace(netloc=netloc)),
            options=options,
            timeout=timeout_s,
            metadata_errors="replace",
        )
    # Without its cause, which shows the address with its password.
    except _DENIED:
        raise UnreachableError(
            f"{shown}: the camera refuses this name and password"
            if sign_in
            else f"{shown}: the camera wants a name and a password",
            hint="write them before the host: rtsp://name:password@host/..., with %40 for @",
        ) from None
    except (av.FFmpegError, OSError, ValueError):
        raise UnreachableError(
            f"{shown}: nobody answers there with video",
            hint="check the address, the camera and the network",
        ) from None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
