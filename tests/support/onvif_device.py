"""A small ONVIF device: it answers calls over UDP, and requests that are signed over HTTP."""

import base64
import http.server
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.media.soap import password_digest
from tests.support.camera import NAME, PASSWORD

PROFILES = {"sub": (640, 360, "H264", "10"), "main": (1920, 1080, "H265", "12.5")}
MEDIA, MEDIA2 = (f"http://www.onvif.org/{version}/media/wsdl" for version in ("ver10", "ver20"))


@dataclass(slots=True)
class OnvifServer:
    """A running device, and what it was asked."""

    port: int = 0
    call_port: int = 0
    xaddrs: str = ""
    media_host: str = "127.0.0.1"
    """That its media service is said to be at."""
    streams: dict[str, str] = field(
        default_factory=lambda: {name: f"rtsp://127.0.0.1:8554/{name}" for name in PROFILES}
    )
    services: tuple[str, ...] = (MEDIA, MEDIA2)
    """Media services that it names; none where it knows no such request."""
    broken: str = ""
    """A media service that it names and does not have."""
    in_older: tuple[str, ...] = ()
    """Profiles that the older media service alone has, of JPEG."""
    ahead: timedelta = timedelta(hours=-3)
    """How its clock is set."""
    answer: bytes | None = None
    """Sent in place of everything."""
    status: int = 200
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/onvif/device_service"

    def answered(self, body: str) -> tuple[int, str]:
        request = re.search(r'<s:Body><r:(\w+) xmlns:r="([^"]*)"', body)
        name, namespace = ("", "") if request is None else request.groups()
        self.requests.append(f"{name} 2" if namespace == MEDIA2 else name)
        if name == "GetSystemDateAndTime":
            now = datetime.now(UTC) + self.ahead
            return 200, (
                f"<UTCDateTime><Time><Hour>{now.hour}</Hour><Minute>{now.minute}</Minute>"
                f"<Second>{now.second}</Second></Time><Date><Year>{now.year}</Year>"
                f"<Month>{now.month}</Month><Day>{now.day}</Day></Date></UTCDateTime>"
            )
        if not self._is_let_in(body):
            code = "<Subcode><Value>ter:NotAuthorized</Value></Subcode>"
            return 400, f"<Fault><Code>{code}</Code></Fault>"
        if name == "GetDeviceInformation":
            return 200, "<Manufacturer>Acme</Manufacturer><Model>Eye 3</Model>"
        media = f"http://{self.media_host}:{self.port}/onvif/media"
        if name == "GetCapabilities":
            return 200, f"<Media><XAddr>{media}</XAddr></Media>"
        if name == "GetServices" and self.services:
            return 200, "".join(
                f"<Service><Namespace>{service}</Namespace><XAddr>{media}</XAddr></Service>"
                for service in self.services
            )
        if name == "GetServices" or namespace == self.broken:
            code = "<Subcode><Value>ter:ActionNotSupported</Value></Subcode>"
            return 400, f"<Fault><Code>{code}</Code></Fault>"
        if name == "GetProfiles" and namespace == MEDIA2:
            # Encoders are told to whoever asks for them.
            wants = "<r:Type>VideoEncoder</r:Type>" in body
            return 200, "".join(_profile2(name, with_encoder=wants) for name in PROFILES)
        if name == "GetProfiles":
            return 200, "".join(map(_profile, (*PROFILES, *self.in_older)))
        token = re.search(r"<r:ProfileToken>(\w+)<", body)
        protocol = "<r:Protocol>RTSP</r:Protocol>" if namespace == MEDIA2 else "<t:Protocol>RTSP<"
        if token is None or protocol not in body:
            return 400, "<Fault/>"
        return 200, f"<Uri>{self.streams.get(token[1], 'rtsp://127.0.0.1:8554/other')}</Uri>"

    def _is_let_in(self, body: str) -> bool:
        def given(name: str) -> str:
            match = re.search(rf"<\w:{name}(?: [^>]*)?>([^<]*)<", body)
            return "" if match is None else match[1]

        try:
            created = datetime.fromisoformat(given("Created"))
        except ValueError:
            return False
        nonce = given("Nonce")
        is_new = nonce not in self.nonces
        self.nonces.add(nonce)
        is_now = abs(created - datetime.now(UTC) - self.ahead) < timedelta(seconds=30)
        digest = password_digest(base64.b64decode(nonce), given("Created"), PASSWORD)
        return is_new and is_now and given("Username") == NAME and given("Password") == digest


@contextmanager
def open_onvif_device() -> Iterator[OnvifServer]:
    """Run a device on this machine, called at a port of its own."""
    device = OnvifServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            device.headers.append(str(self.headers))
            status, content = device.answered(body)
            data = device.answer or _enveloped(content)
            self.send_response(status if device.answer is None else device.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    device.port = server.server_address[1]
    device.xaddrs = device.address
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    called = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    called.bind(("127.0.0.1", 0))
    device.call_port = called.getsockname()[1]
    threading.Thread(target=_answer_calls, args=(called, device), daemon=True).start()
    try:
        yield device
    finally:
        called.sendto(b"", called.getsockname())
        server.shutdown()
        server.server_close()


def _answer_calls(called: socket.socket, device: OnvifServer) -> None:
    with called:
        while True:
            data, caller = called.recvfrom(65_535)
            if not data:
                return
            text = data.decode(errors="replace")
            call = re.search(r"<w:MessageID>([^<]*)<", text)
            if call is None or "NetworkVideoTransmitter" not in text:
                # Any process of this machine may send to a port of it.
                continue
            for call_id in ("urn:uuid:of-somebody-else", call[1]):
                called.sendto(_match(call_id, device), caller)


def _match(call_id: str, device: OnvifServer) -> bytes:
    scopes = "onvif://www.onvif.org/name/Gate%20north onvif://www.onvif.org/hardware/E3"
    return (
        '<e:Envelope xmlns:e="e"><e:Header><w:RelatesTo xmlns:w="w">'
        f'{call_id}</w:RelatesTo></e:Header><e:Body><d:ProbeMatches xmlns:d="d"><d:ProbeMatch>'
        f"<d:Scopes>{scopes}</d:Scopes><d:XAddrs>{device.xaddrs}</d:XAddrs>"
        "</d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"
    ).encode()


def _profile(name: str) -> str:
    """A profile of the older service, which has no word for H.265."""
    width, height, codec, fps = PROFILES.get(name, (320, 240, "JPEG", "5"))
    encoder = (
        f"<t:VideoEncoderConfiguration>{_encoder(codec, width, height, fps)}"
        "</t:VideoEncoderConfiguration>"
    )
    return (
        f'<t:Profiles xmlns:t="t" token="{name}"><t:Name>{name} stream</t:Name>'
        f"{'' if codec == 'H265' else encoder}</t:Profiles>"
    )


def _profile2(name: str, *, with_encoder: bool) -> str:
    width, height, codec, fps = PROFILES[name]
    encoder = (
        f"<t:VideoEncoder>{_encoder(codec, width, height, fps)}</t:VideoEncoder>"
        if with_encoder
        else ""
    )
    return (
        f'<t:Profiles xmlns:t="t" token="{name}"><t:Name>{name} stream</t:Name>'
        f"<t:Configurations>{encoder}</t:Configurations></t:Profiles>"
    )


def _encoder(codec: str, width: int, height: int, fps: str) -> str:
    return (
        f"<t:Encoding>{codec}</t:Encoding><t:Resolution><t:Width>{width}</t:Width>"
        f"<t:Height>{height}</t:Height></t:Resolution><t:RateControl>"
        f"<t:FrameRateLimit>{fps}</t:FrameRateLimit></t:RateControl>"
    )


def _enveloped(content: str) -> bytes:
    return f'<s:Envelope xmlns:s="s"><s:Body>{content}</s:Body></s:Envelope>'.encode()
