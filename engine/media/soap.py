"""SOAP as cameras speak it: envelopes with a signed name, and answers that are not trusted.

Answers come from whoever is on the network. A document type is refused, and with it every entity;
size, depth and number of elements are bounded, because reading must cost what the answer costs.

Source: SOAP 1.2; Web Services Security UsernameToken Profile 1.0, 3.1 (PasswordDigest).
"""

import base64
import hashlib
import secrets
from datetime import datetime
from typing import Any, Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

MOST_BYTES: Final = 1 << 20
_MOST_ELEMENTS: Final = 20_000
_MOST_DEPTH: Final = 64
_SECURITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"


class SoapError(ValueError):
    """An answer that is no XML that is read here; the message says why."""


class _Tree(ElementTree.TreeBuilder):
    """A tree that is given up where it grows too large."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._n_elements = 0

    def doctype(self, *_: Any) -> None:
        """Refuse what could declare entities."""
        raise SoapError("it has a document type")

    def start(self, tag: str, attributes: Any, /) -> ElementTree.Element:
        """Begin an element."""
        self._depth += 1
        self._n_elements += 1
        if self._depth > _MOST_DEPTH or self._n_elements > _MOST_ELEMENTS:
            raise SoapError("it is too large")
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> ElementTree.Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)


def parse_xml(data: bytes) -> ElementTree.Element:
    """Return the tree of a document.

    Raises:
        SoapError: It is none, has a document type, or is too large.
    """
    if len(data) > MOST_BYTES:
        raise SoapError("it is too large")
    parser = ElementTree.XMLParser(target=_Tree())
    try:
        parser.feed(data)
        root = parser.close()
    except SoapError:
        raise
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        # The last: an encoding that nobody knows.
        raise SoapError("it is no XML") from error
    if not isinstance(root, ElementTree.Element):
        raise SoapError("it is no XML")
    return root


def text_of(element: ElementTree.Element | None, path: str) -> str:
    """Return the text at a path below an element, in any namespace; empty where there is none."""
    named = find(element, path)
    return "" if named is None else " ".join((named.text or "").split())[:1000]


def find(element: ElementTree.Element | None, path: str) -> ElementTree.Element | None:
    """Return the first element at a path of local names below an element."""
    for name in path.split("/"):
        element = None if element is None else element.find(f".//{{*}}{name}")
    return element


def envelope(
    body: str, *, sign_in: tuple[str, str] | None = None, now: datetime | None = None
) -> bytes:
    """Return a request.

    Args:
        body: Markup.
        sign_in: Name and password; the password does not leave, but a digest of it does.
        now: Time of the device, by which it tells a request that is sent again.
    """
    header = ""
    if sign_in is not None and now is not None:
        nonce, created = secrets.token_bytes(16), f"{now:%Y-%m-%dT%H:%M:%S}Z"
        digest = password_digest(nonce, created, sign_in[1])
        header = (
            f'<s:Header><w:Security s:mustUnderstand="1" xmlns:w="{_SECURITY}wssecurity-secext-1.0'
            f'.xsd"><w:UsernameToken><w:Username>{escape(sign_in[0])}</w:Username>'
            f'<w:Password Type="{_SECURITY}username-token-profile-1.0#PasswordDigest">{digest}'
            f'</w:Password><w:Nonce EncodingType="{_SECURITY}soap-message-security-1.0'
            f'#Base64Binary">{base64.b64encode(nonce).decode()}</w:Nonce>'
            f'<u:Created xmlns:u="{_SECURITY}wssecurity-utility-1.0.xsd">{created}</u:Created>'
            "</w:UsernameToken></w:Security></s:Header>"
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
        f"{header}<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """Return what proves that somebody knows a password."""
    # SHA-1 is what the profile says; no collision of it helps here.
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode()
