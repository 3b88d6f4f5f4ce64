"""Addresses of live feeds: told from paths, shown without passwords, refused where unsafe."""

import ipaddress
import socket
from urllib.parse import urlsplit, urlunsplit

from engine.errors import MediaRefusedError, UnreachableError

LIVE_SCHEMES = frozenset({"rtsp", "rtsps"})
WEB_SCHEMES = frozenset({"http", "https"})


def is_live_uri(uri: str) -> bool:
    """Return whether a uri names a network feed and not a file."""
    return urlsplit(uri).scheme.lower() in LIVE_SCHEMES | WEB_SCHEMES and "://" in uri


def redact(uri: str) -> str:
    """Return a uri without the name and password that camera addresses carry."""
    if not is_live_uri(uri):
        return uri
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check_host(shown: str) -> None:
    """Refuse addresses that no camera has; link-local ones hold the secrets of cloud machines.

    Args:
        shown: The address, without name and password.
    Raises:
        MediaRefusedError: The host is such an address.
        UnreachableError: The host has no address.
    """
    try:
        hosts = socket.getaddrinfo(urlsplit(shown).hostname, None)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"{shown}: no such host", hint="check the address and the network"
        ) from error
    for *_, endpoint in hosts:
        address = ipaddress.ip_address(str(endpoint[0]).partition("%")[0])
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise MediaRefusedError(
                shown, f"the address {address} is not opened", hint="give the camera's own address"
            )
