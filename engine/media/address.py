"""Addresses of live feeds: told from paths, shown without secrets, refused where unsafe."""

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit

from engine.errors import MediaRefusedError, UnreachableError

WEB_SCHEMES: Final = frozenset({"http", "https"})

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LIVE: Final = re.compile(r"\s*(?:rtsps?|https?|udp|v4l2)://", re.IGNORECASE)
_DEVICE: Final = re.compile(
    r"(?:v4l2://)?(/dev/(?:video\d{1,3}|v4l/by-(?:id|path)/\w[\w.:+-]{0,254}))"
)
"""A camera of this machine, by its number or by what it is."""
# Mistyped and unknown schemes too: an error shows them, and they may hold a password.
_ADDRESS: Final = re.compile(
    r"\s*(?:(?:rtsps?|rtmps?|https?|rtp|srt|udp|tcp|ftp)\s*:[/\\]*|[a-z][a-z0-9+.-]*:[/\\]{2})",
    re.IGNORECASE,
)
_SHOWN_KEYS: Final = frozenset(
    {"camera", "channel", "channelid", "ch", "fps", "h", "id", "profile", "proto", "quality"}
    | {"res", "resolution", "source", "stream", "streamtype", "subtype", "track", "transport"}
    | {"transportmode", "unicast", "video", "videocodec", "w"}
)
"""Parameters of camera addresses whose values are shown; any other may be a secret."""
_PARAMETER: Final = re.compile(r"([^/?&;=#\s]+)=([^/?&;#\s]*)")
_SHOWN_VALUE: Final = re.compile(r"[\w.-]{1,16}")
# A key in the path, as some recorders and video services hand out: long, with letters and digits.
_KEY_SEGMENT: Final = re.compile(
    r"(?<=[/?&])(?=[^/?&;=]*\d)(?=[^/?&;=]*[A-Za-z])"
    r"(?:[A-Za-z0-9]{12,}|[A-Fa-f0-9-]{20,})(?=[/?&;]|$)"
)
_HIDDEN: Final = "***"

_NAT64: Final = (
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("::/96"),
)
"""Networks whose last 32 bits are an IPv4 address that a gateway, or the system, connects to."""
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
"""Where clouds tell their machines secrets, besides the link-local 169.254.169.254."""


def is_live_uri(uri: str) -> bool:
    """Return whether a uri names a feed, of the network or a webcam, and not a file."""
    return _LIVE.match(uri) is not None


def is_address(source: str) -> bool:
    """Return whether a source is written as an address, of whatever kind, and not as a path."""
    return is_live_uri(feed_uri(source)) or _ADDRESS.match(source) is not None


def feed_uri(source: str) -> str:
    """Return a source as a uri: the device of a webcam as an address, anything else as it is."""
    match = _DEVICE.fullmatch(source.strip())
    return source if match is None else f"v4l2://{match[1]}"


def device_path(uri: str) -> str | None:
    """Return the device of a webcam's address; `None` of any other."""
    match = _DEVICE.fullmatch(uri.strip())
    return match[1] if match and uri.strip().startswith("v4l2:") else None


def is_device_uri(uri: str) -> bool:
    """Return whether a uri names a device of this machine and not a host."""
    return uri.strip().lower().startswith("v4l2:")


def redact(uri: str) -> str:
    """Return an address without what may be secret in it; a path as it is.

    The sign-in goes, up to the last `@` even where it was not escaped, the fragment, the value of
    every parameter that is not known to be harmless, and what looks like a key in the path.
    """
    scheme = _ADDRESS.match(uri)
    if scheme is None:
        return uri
    rest = uri[scheme.end() :].rpartition("@")[2]
    rest = rest.partition("#")[0]
    rest = re.sub(r"[^/?&;]*%(?:3d|40)[^/?&;]*", _HIDDEN, rest, flags=re.IGNORECASE)
    rest = _KEY_SEGMENT.sub(_HIDDEN, _PARAMETER.sub(_shown_parameter, rest))
    return scheme.group().strip() + rest


def parse_address(uri: str) -> SplitResult:
    """Return the parts of the address of a feed.

    Raises:
        MediaRefusedError: It can be read in two ways, so that a password could be taken for a
            host or a path.
    """
    hint = "write / ? # @ and spaces in a name, password or path as %2F %3F %23 %40 %20"
    address = uri.strip()
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise MediaRefusedError(redact(uri), "this is no address", hint=hint) from None
    behind = address.partition("://")[2][len(parts.netloc) :]
    if "@" in behind or not parts.hostname or not address.isprintable() or " " in address:
        raise MediaRefusedError(redact(uri), "this is no address", hint=hint)
    return parts


def listen_address(parts: SplitResult, shown: str) -> tuple[IpAddress, int, IpAddress | None]:
    """Return where to listen for a feed that is sent to this machine, and who may send it.

    Args:
        parts: Of `udp://ADDRESS:PORT` with an address of this machine, 0.0.0.0 for all, or a
            multicast group; `?source=ADDRESS` takes packets of one sender alone.
        shown: The feed, for messages.
    Raises:
        MediaRefusedError: It says anything else, for FFmpeg would understand much else.
    """
    wanted = re.fullmatch(r"(?:source=([0-9a-fA-F.:]+))?", parts.query)
    is_plain = not parts.path.strip("/") and not parts.fragment and "@" not in parts.netloc
    try:
        address = ipaddress.ip_address(parts.hostname or "")
        source = ipaddress.ip_address(wanted[1]) if wanted and wanted[1] else None
    except ValueError:
        wanted = None
    if wanted is None or not is_plain or not parts.port:
        raise MediaRefusedError(
            shown,
            "this is no address to listen at",
            hint="write it as udp://0.0.0.0:PORT?source=ADDRESS-OF-THE-CAMERA",
        )
    return address, parts.port, source


def resolve_host(host: str, shown: str) -> IpAddress:
    """Return the address that a host is reached at, if a camera may have it.

    Args:
        host: A name or an address.
        shown: The feed, for messages.
    Raises:
        MediaRefusedError: No camera has such an address; link-local ones hold the secrets of
            cloud machines.
        UnreachableError: The host has no address.
    """
    try:
        endpoints = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"{shown}: no such host", hint="check the address and the network"
        ) from error
    addresses = [
        ipaddress.ip_address(str(endpoint[0]).partition("%")[0]) for *_, endpoint in endpoints
    ]
    for address in addresses:
        if _is_forbidden(_unwrapped(address)):
            raise MediaRefusedError(
                shown, f"the address {address} is not opened", hint="give the camera's own address"
            )
    return addresses[0]


def nearness(address: IpAddress) -> int:
    """Return how near an address is: 0 in the open net, 1 in networks at home, 2 here."""
    plain = _unwrapped(address)
    if plain.is_loopback:
        return 2
    return 0 if plain.is_global else 1


def _shown_parameter(match: re.Match[str]) -> str:
    key, value = match.groups()
    is_shown = key.lower() in _SHOWN_KEYS and _SHOWN_VALUE.fullmatch(value)
    return f"{key}={value if is_shown else _HIDDEN}"


def _unwrapped(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is None and any(address in network for network in _NAT64):
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return embedded or address


def _is_forbidden(address: IpAddress) -> bool:
    is_reserved = isinstance(address, ipaddress.IPv4Address) and address.is_reserved
    is_special = address.is_link_local or address.is_multicast or address.is_unspecified
    return is_special or is_reserved or address in _METADATA
