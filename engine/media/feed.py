"""Opening of live feeds: the address that was checked is the one that is connected to.

Web addresses are opened by FFmpeg at that address, without following redirects; RTSP cameras
behind a relay, because FFmpeg cannot be told not to follow theirs. MPEG-TS over UDP is listened
for, and connects nowhere. The segments of a playlist are fetched here, and FFmpeg gets their bytes.
"""

import ipaddress
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

import av
from av.container import InputContainer

from engine.errors import (
    FeedRefusedError,
    MediaRefusedError,
    NetworkDisabledError,
    UnreachableError,
)
from engine.media.address import (
    WEB_SCHEMES,
    IpAddress,
    is_device_uri,
    listen_address,
    parse_address,
    redact,
    resolve_host,
)
from engine.media.hls import MP4, HlsFeed, is_playlist
from engine.media.relay import RtspRelay, connect_camera
from engine.media.unreachable import unreachable
from engine.media.webcam import open_webcam

RtspTransport = Literal["auto", "tcp", "udp"]
_RTSP_OPTIONS: Final = {
    "protocol_whitelist": "rtsp,tcp",
    "rtsp_transport": "tcp",
    # Time stamps of RTP are unwrapped by FFmpeg on their own.
    "correct_ts_overflow": "1",
}
_DATAGRAM_OPTIONS: Final = {
    # Packets that wait for one before them, which may be lost: FFmpeg would have 500, for a tenth
    # of a second at most; in a connection it knows no such limit of time.
    "reorder_queue_size": "16",
}
_QUICK_OPTIONS: Final = {
    # FFmpeg would watch twenty pictures to state a frame rate that a feed does not keep: measured
    # 14 s at 5 pictures a second. Size and format come with the first keyframe.
    "fpsprobesize": "2",
}
_UDP_OPTIONS: Final = {
    # Of 188 bytes: 47 MB, seconds of a camera. What does not fit is lost, and the feed goes on.
    "fifo_size": "250000",
    "overrun_nonfatal": "1",
    "buffer_size": "4194304",
}
_CONNECT_S: Final = 5.0
"""Longest wait for a connection to a camera, which a machine that is there accepts at once."""
_DENIED: Final = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


def open_feed(
    uri: str,
    options: dict[str, str],
    *,
    timeout_s: tuple[float, float],
    allow_http: bool,
    films: bool = False,
    transport: RtspTransport = "auto",
) -> tuple[InputContainer, HlsFeed | None]:
    """Open a feed, and what its packets come from where that is not FFmpeg's own.

    Redirects are not followed.

    Args:
        uri: With the sign-in of the camera.
        options: FFmpeg's, without protocols.
        timeout_s: Longest wait for the connection, and for each read.
        allow_http: Whether web addresses may be opened.
        films: Whether it has to be live: a playlist that has ended is not.
        transport: How RTSP cameras send pictures: `auto` is TCP, and UDP where one does that alone.
    Raises:
        MediaRefusedError: It is no address, or no camera has it.
        NetworkDisabledError: A web address, which may not be opened.
        UnreachableError: Nobody answers there, or the camera refuses.
    """
    if is_device_uri(uri):
        return open_webcam(uri, options | _QUICK_OPTIONS), None
    parts, shown = parse_address(uri), redact(uri)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme in WEB_SCHEMES and not allow_http:
        raise NetworkDisabledError(shown)
    if scheme == "udp":
        return _listen(parts, shown, options | _QUICK_OPTIONS, timeout_s), None
    address, options = resolve_host(host, shown), options | _QUICK_OPTIONS
    if scheme in WEB_SCHEMES and is_playlist(parts):
        feed = HlsFeed(parts, address, shown, timeout_s=timeout_s)
        if films and feed.is_whole:
            raise UnreachableError(
                f"{shown}: its playlist has ended",
                hint="read it as a video, or wait for the camera",
            )
        return _open_segments(feed, shown, options), feed
    if scheme in WEB_SCHEMES:
        # Pictures that a camera sends one by one: of a file nobody would call that a video.
        web = {"format_whitelist": options["format_whitelist"] + ",mpjpeg"} | _web_options(parts)
        return _open(_web_address(parts, address), shown, options | web, timeout_s), None
    return _open_rtsp(parts, address, shown, options, timeout_s, transport), None


def _open_rtsp(
    parts: SplitResult,
    address: IpAddress,
    shown: str,
    options: dict[str, str],
    timeout_s: tuple[float, float],
    transport: RtspTransport,
) -> InputContainer:
    by_datagrams = transport == "udp"
    if by_datagrams and parts.scheme.lower() == "rtsps":
        raise MediaRefusedError(
            shown, "over UDP nothing of it would be encrypted", hint="have it sent over TCP"
        )
    relay = _relay(parts, address, shown, timeout_s, by_datagrams=by_datagrams)
    sign_in = parts.netloc.rpartition("@")[0]
    netloc = f"{sign_in}@127.0.0.1:{relay.port}" if sign_in else f"127.0.0.1:{relay.port}"
    local = urlunsplit(parts._replace(scheme="rtsp", netloc=netloc))
    rtsp = _RTSP_OPTIONS | {"format_whitelist": options["format_whitelist"] + ",rtsp,sdp"}
    if by_datagrams:
        rtsp |= _DATAGRAM_OPTIONS
    try:
        return _open(local, shown, options | rtsp, timeout_s)
    except UnreachableError:
        if relay.was_redirected:
            raise MediaRefusedError(
                shown,
                "the camera sends to another address, which is not followed",
                hint="give the address that it sends to, if you trust it",
            ) from None
        if not relay.refuses_transport:
            raise
        if transport == "auto":
            return _open_rtsp(parts, address, shown, options, timeout_s, "udp")
        raise UnreachableError(
            f"{shown}: the camera does not send over {transport.upper()}",
            hint=f"have it sent over {'TCP' if by_datagrams else 'UDP'}",
        ) from None


def _listen(
    parts: SplitResult, shown: str, options: dict[str, str], timeout_s: tuple[float, float]
) -> InputContainer:
    """Open MPEG-TS that somebody sends to a port of this machine."""
    address, port, source = listen_address(parts, shown)
    host = f"[{address}]" if address.version == 6 else str(address)
    udp = {"protocol_whitelist": "udp", **_UDP_OPTIONS}
    if not address.is_multicast:
        udp["localaddr"] = str(address)
    if source is not None:
        udp["sources"] = str(source)
    try:
        return _open(f"udp://{host}:{port}", shown, options | udp, timeout_s, kind="mpegts")
    except UnreachableError:
        raise UnreachableError(
            f"{shown}: no MPEG-TS comes in there",
            hint="check where the camera sends to, the firewall, and that nobody else listens",
        ) from None


def _open_segments(feed: HlsFeed, shown: str, options: dict[str, str]) -> InputContainer:
    """Open the bytes of a playlist's segments, which lead nowhere else."""
    try:
        return av.open(
            feed,
            "r",
            format="mp4" if feed.container == MP4 else feed.container,
            options=options | {"protocol_whitelist": "none", "format_whitelist": feed.container},
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreachable(shown, error, is_web=True) from None


def _relay(
    parts: SplitResult,
    address: IpAddress,
    shown: str,
    timeout_s: tuple[float, float],
    *,
    by_datagrams: bool,
) -> RtspRelay:
    is_encrypted = parts.scheme.lower() == "rtsps"
    port = parts.port or (322 if is_encrypted else 554)
    tls_name = parts.hostname if is_encrypted else None
    try:
        connect_s = min(timeout_s[0], _CONNECT_S)
        camera = connect_camera(str(address), port, timeout_s=connect_s, tls_name=tls_name)
        return RtspRelay(
            camera, accept_s=timeout_s[0], send_s=timeout_s[1], by_datagrams=by_datagrams
        )
    except (OSError, ValueError) as error:
        raise unreachable(shown, error, is_web=False) from None


def _web_address(parts: SplitResult, address: IpAddress) -> str:
    """Return the address to connect to: not the name, which could lead elsewhere by then."""
    literal = f"[{address}]" if address.version == 6 else str(address)
    port = "" if parts.port is None else f":{parts.port}"
    sign_in, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{sign_in}{at}{literal}{port}"))


def _web_options(parts: SplitResult) -> dict[str, str]:
    options = {"protocol_whitelist": "http,https,tcp,tls,crypto", "max_redirects": "0"}
    # A bracketed or plain name as written, because the server may have several.
    options["headers"] = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
    if parts.scheme.lower() == "https" and not _is_literal(parts.hostname or ""):
        options["verifyhost"] = parts.hostname or ""
    return options


def _open(
    address: str,
    shown: str,
    options: dict[str, str],
    timeout_s: tuple[float, float],
    *,
    kind: str | None = None,
) -> InputContainer:
    try:
        return av.open(
            address, format=kind, options=options, timeout=timeout_s, metadata_errors="replace"
        )
    # Without its cause, which shows the address with its password.
    except _DENIED:
        raise FeedRefusedError(
            f"{shown}: the camera refuses this name and password"
            if "@" in address
            else f"{shown}: the camera wants a name and a password",
            hint="write them before the host: rtsp://name:password@host/..., with %40 for @",
        ) from None
    except (av.FFmpegError, OSError, ValueError) as error:
        is_web = urlsplit(address).scheme in WEB_SCHEMES
        raise unreachable(shown, error, is_web=is_web) from None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
