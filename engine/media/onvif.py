"""Cameras that answer a call on the network, and the streams that each has: ONVIF.

Decision: a client of our own for the few requests that it takes, because those that can be had
resolve names by themselves, connect to whatever address a device names, and expand the entities of
its XML. Here a device is asked at one address, which is checked as that of any camera.
Decision: both media services are asked where a device has both. Because the older one has no word
for H.265, so that the best stream of a camera may be missing there or be called something else, and
because some devices know profiles in the older one alone; a profile of both is read in the newer.
Decision: a password is used only with the device that somebody has named. Anybody may answer a
call, and a digest of a password is enough to guess it.

Source: WS-Discovery (April 2005); ONVIF Core Specification, 7 (discovery) and 8 (device);
ONVIF Media Service Specification (ver10); ONVIF Media2 Service Specification (ver20).
"""

import re
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from engine.errors import (
    FeedRefusedError,
    InputRefusedError,
    MediaRefusedError,
    UnreachableError,
)
from engine.media.address import is_live_uri, parse_address, redact, resolve_host
from engine.media.fetch import Fetcher
from engine.media.soap import MOST_BYTES, SoapError, envelope, find, parse_xml, text_of

GROUP: Final = ("239.255.255.250", 3702)
"""Where devices listen for calls."""
DEVICE_PATH: Final = "/onvif/device_service"
_MOST_DEVICES: Final = 256
_MOST_PROFILES: Final = 16
_TIMEOUT_S: Final = (5.0, 5.0)
_CALL_AGAIN_S: Final = 0.5
_DATAGRAM_BYTES: Final = 65_535
_DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
_MEDIA2: Final = "http://www.onvif.org/ver20/media/wsdl"
_SCHEMA: Final = "http://www.onvif.org/ver10/schema"
_CALL: Final = (
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header>'
    "<w:MessageID>{}</w:MessageID>"
    "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
    "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
    "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body>"
    "</e:Envelope>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnvifDevice:
    """A device that answered a call."""

    address: str
    """Where it is asked: `http://10.0.0.7/onvif/device_service`."""
    name: str
    hardware: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnvifStream:
    """A stream of a device."""

    profile: str
    """The token by which the device knows it."""
    name: str
    address: str
    """Without a sign-in."""
    codec: str
    width_px: int
    height_px: int
    fps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnvifFacts:
    """The device as it describes itself, and its streams, the largest picture first."""

    name: str
    streams: tuple[OnvifStream, ...]
    refused: tuple[str, ...]
    """Addresses of streams that no camera may have, without what may be secret in them."""


def find_devices(wait_s: float, group: tuple[str, int] = GROUP) -> tuple[OnvifDevice, ...]:
    """Call for devices on every network of this machine, and return those that answer in time.

    A device is only found where it says that it is: at the address its answer came from.
    """
    call_id = f"urn:uuid:{uuid.uuid4()}"
    call = _CALL.format(call_id).encode()
    devices: dict[str, OnvifDevice] = {}
    deadline = time.monotonic() + wait_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("", 0))
        _call(caller, call, group)
        again_at = time.monotonic() + _CALL_AGAIN_S
        while (now := time.monotonic()) < deadline and len(devices) < _MOST_DEVICES:
            if now >= again_at:
                # Datagrams are lost.
                _call(caller, call, group)
                again_at = deadline
            caller.settimeout(max(0.01, min(deadline, again_at) - now))
            try:
                data, (sender, _) = caller.recvfrom(_DATAGRAM_BYTES)
            except TimeoutError:
                continue
            except OSError:
                # Nobody listens at a port of this machine: told of a call before.
                continue
            for device in _answers(data, sender, call_id):
                devices.setdefault(device.address, device)
    return tuple(devices.values())


def read_device(address: str, sign_in: tuple[str, str] | None) -> OnvifFacts:
    """Ask a device for its name and its streams.

    Args:
        address: Of its device service, without a sign-in.
        sign_in: Name and password.
    Raises:
        FeedRefusedError: It wants a name and a password, or others.
        UnreachableError: Nobody answers there.
        MediaRefusedError: The address is none that a camera may have.
        InputRefusedError: It does not speak ONVIF, or has no streams.
    """
    return _Asked(address, sign_in).facts()


def with_sign_in(address: str, sign_in: tuple[str, str] | None) -> str:
    """Return the address of a stream with a name and a password in it."""
    if sign_in is None:
        return address
    parts = urlsplit(address)
    name, password = (quote(part, safe="") for part in sign_in)
    return urlunsplit(parts._replace(netloc=f"{name}:{password}@{parts.netloc}"))


@dataclass(frozen=True, slots=True)
class _MediaService:
    """A service of a device that knows its streams."""

    namespace: str
    parts: SplitResult

    @property
    def wanted(self) -> str:
        """Markup of what is to be told of profiles; the older service tells all of it."""
        return "<r:Type>VideoEncoder</r:Type>" if self.namespace == _MEDIA2 else ""

    @property
    def transport(self) -> str:
        """Markup that asks for a stream over RTSP."""
        if self.namespace == _MEDIA2:
            return "<r:Protocol>RTSP</r:Protocol>"
        return (
            f'<r:StreamSetup><t:Stream xmlns:t="{_SCHEMA}">RTP-Unicast</t:Stream>'
            f'<t:Transport xmlns:t="{_SCHEMA}"><t:Protocol>RTSP</t:Protocol></t:Transport>'
            "</r:StreamSetup>"
        )


class _Asked:
    """One device that is asked."""

    def __init__(self, address: str, sign_in: tuple[str, str] | None) -> None:
        parts = parse_address(address)
        self._parts, self._shown, self._sign_in = parts, redact(address), sign_in
        checked = resolve_host(parts.hostname or "", self._shown)
        signed_in = urlsplit(with_sign_in(address, sign_in))
        self._fetcher = Fetcher(signed_in, checked, self._shown, _TIMEOUT_S, allows_basic=False)
        self._ahead = timedelta()

    def facts(self) -> OnvifFacts:
        self._set_clock()
        facts = self._ask(self._parts, _DEVICE, "GetDeviceInformation")
        name = " ".join(filter(None, (text_of(facts, "Manufacturer"), text_of(facts, "Model"))))
        streams: list[OnvifStream] = []
        refused: list[str] = []
        profiles = self._profiles()
        for token, (media, profile) in [*profiles.items()][:_MOST_PROFILES]:
            uri = self._stream_uri(media, token)
            try:
                streams.append(_stream(profile, self._plain(uri)))
            except (MediaRefusedError, UnreachableError, ValueError):
                refused.append(redact(uri))
        if not profiles:
            raise InputRefusedError(
                f"{self._shown}: the device names no stream",
                hint="give the address of its stream instead",
            )
        streams.sort(key=lambda stream: -stream.width_px * stream.height_px)
        return OnvifFacts(name=name, streams=tuple(streams), refused=tuple(refused))

    def _profiles(self) -> dict[str, tuple["_MediaService", ElementTree.Element]]:
        """Return each profile by its token, with the service that knows most of it."""
        profiles: dict[str, tuple[_MediaService, ElementTree.Element]] = {}
        services = self._media_services()
        for media in services:
            try:
                answer = self._ask(media.parts, media.namespace, "GetProfiles", media.wanted)
            except InputRefusedError:
                # A device may name a service that it does not have after all.
                if media == services[-1] and not profiles:
                    raise
                continue
            for profile in answer.findall(".//{*}Profiles"):
                profiles.setdefault(profile.get("token", ""), (media, profile))
        return profiles

    def _media_services(self) -> list["_MediaService"]:
        """Return the media services of the device, the newer one first."""
        named: dict[str, str] = {}
        # What is older than the list of services has the older media service alone.
        with suppress(InputRefusedError):
            wanted = "<r:IncludeCapability>false</r:IncludeCapability>"
            answer = self._ask(self._parts, _DEVICE, "GetServices", wanted)
            for service in answer.findall(".//{*}Service"):
                named.setdefault(text_of(service, "Namespace"), text_of(service, "XAddr"))
        if _MEDIA not in named and _MEDIA2 not in named:
            wanted = "<r:Category>Media</r:Category>"
            answer = self._ask(self._parts, _DEVICE, "GetCapabilities", wanted)
            named[_MEDIA] = text_of(answer, "Media/XAddr")
        return [
            _MediaService(namespace, self._here(named[namespace]))
            for namespace in (_MEDIA2, _MEDIA)
            if namespace in named
        ]

    def _set_clock(self) -> None:
        """Learn what time it is there: a request of another time is refused."""
        answer = self._ask(self._parts, _DEVICE, "GetSystemDateAndTime", is_signed=False)
        utc = find(answer, "UTCDateTime")
        names = ("Date/Year", "Date/Month", "Date/Day", "Time/Hour", "Time/Minute", "Time/Second")
        with suppress(ValueError, OverflowError):
            year, month, day, hour, minute, second = (int(text_of(utc, name)) for name in names)
            there = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            self._ahead = there - datetime.now(UTC)

    def _stream_uri(self, media: "_MediaService", token: str) -> str:
        wanted = f"{media.transport}<r:ProfileToken>{escape(token)}</r:ProfileToken>"
        return text_of(self._ask(media.parts, media.namespace, "GetStreamUri", wanted), "Uri")

    def _plain(self, uri: str) -> str:
        """Return the address of a stream without a sign-in, if a camera may have it."""
        if not is_live_uri(uri) or uri.lower().startswith(("udp:", "v4l2:")):
            raise ValueError("no address of a stream")
        parts = urlsplit(uri)
        uri = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        resolve_host(parse_address(uri).hostname or "", redact(uri))
        return uri

    def _here(self, address: str) -> SplitResult:
        """Return where a service of the device is asked: at the device, whatever it says."""
        named = urlsplit(address)
        try:
            port = named.port
        except ValueError:
            port = None
        host = self._parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        is_same = port is None or named.scheme != self._parts.scheme
        netloc = self._parts.netloc if is_same else f"{host}:{port}"
        path = named.path or DEVICE_PATH
        return self._parts._replace(netloc=netloc, path=path, query=named.query, fragment="")

    def _ask(
        self,
        service: SplitResult,
        namespace: str,
        request: str,
        content: str = "",
        *,
        is_signed: bool = True,
    ) -> ElementTree.Element:
        body = f'<r:{request} xmlns:r="{namespace}">{content}</r:{request}>'
        data = envelope(
            body,
            sign_in=self._sign_in if is_signed else None,
            now=datetime.now(UTC) + self._ahead,
        )
        status, answer = self._fetcher.post(
            self._fetcher.resolved(self._fetcher.base, urlunsplit(service)),
            data,
            "application/soap+xml; charset=utf-8",
            MOST_BYTES,
        )
        try:
            tree = parse_xml(answer)
        except SoapError as error:
            if status in {401, 403}:
                raise self._denied() from None
            raise InputRefusedError(
                f"{self._shown}: what answers there speaks no ONVIF: {error}",
                hint="check the address, and that ONVIF is switched on at the camera",
            ) from None
        fault = find(tree, "Fault")
        if fault is None and status == 200:
            return tree
        says = " ".join(text.strip() for text in (fault if fault is not None else tree).itertext())
        if status in {401, 403} or "NotAuthorized" in says or "FailedAuthentication" in says:
            if not is_signed:
                return tree
            raise self._denied()
        raise InputRefusedError(
            f"{self._shown}: the device answers {request} with {' '.join(says.split())[:200]!r}"
        )

    def _denied(self) -> FeedRefusedError:
        return FeedRefusedError(
            f"{self._shown}: the camera refuses this name and password"
            if self._sign_in
            else f"{self._shown}: the camera wants a name and a password",
            hint="some cameras have users of their own for ONVIF",
        )


def _call(caller: socket.socket, call: bytes, group: tuple[str, int]) -> None:
    """Send a call on every network; one that is down hears nothing."""
    if not (224 <= int(group[0].partition(".")[0]) < 240):
        caller.sendto(call, group)
        return
    for index, _ in socket.if_nameindex():
        with suppress(OSError):
            member = struct.pack("=4s4si", socket.inet_aton(group[0]), bytes(4), index)
            caller.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
            caller.sendto(call, group)


def _answers(data: bytes, sender: str, call_id: str) -> Iterator[OnvifDevice]:
    """Yield the devices of an answer to our call; anything else is left out."""
    try:
        tree = parse_xml(data)
        resolve_host(sender, sender)
    except (SoapError, MediaRefusedError, UnreachableError):
        return
    if text_of(tree, "RelatesTo") != call_id:
        return
    for match in tree.findall(".//{*}ProbeMatch"):
        for address in text_of(match, "XAddrs").split():
            with suppress(ValueError, MediaRefusedError):
                parts = parse_address(address)
                if parts.scheme in {"http", "https"} and parts.hostname == sender:
                    scopes = text_of(match, "Scopes").split()
                    yield OnvifDevice(
                        address=urlunsplit(parts._replace(fragment="")),
                        name=_scope(scopes, "name") or sender,
                        hardware=_scope(scopes, "hardware"),
                        location=_scope(scopes, "location"),
                    )
                    break


def _scope(scopes: list[str], kind: str) -> str:
    head = f"onvif://www.onvif.org/{kind}/"
    named = (scope[len(head) :] for scope in scopes if scope.lower().startswith(head))
    return " ".join(unquote(next(named, "")).split())[:120]


def _stream(profile: ElementTree.Element, address: str) -> OnvifStream:
    encoder = find(profile, "VideoEncoderConfiguration")
    if encoder is None:
        encoder = find(profile, "Configurations/VideoEncoder")
    return OnvifStream(
        profile=profile.get("token", "")[:64],
        name=text_of(profile, "Name")[:120],
        address=address,
        codec=text_of(encoder, "Encoding")[:16],
        width_px=_whole(text_of(encoder, "Resolution/Width")),
        height_px=_whole(text_of(encoder, "Resolution/Height")),
        fps=_rate(text_of(encoder, "RateControl/FrameRateLimit")),
    )


def _rate(text: str) -> float | None:
    """Return frames a second: a whole number in the older service, a decimal in the newer."""
    return float(text) or None if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,5})?", text) else None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
