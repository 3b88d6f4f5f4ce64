"""Cameras that are found on the network, and the address of a stream from the device itself.

Decision: a sign-in is sent only to the device that an administrator names, because anybody may
answer a call. A stream is added like any other address: checked, and tried when it is filmed.
"""

from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

from app.schemas.cameras import CameraFields
from app.schemas.discovery import (
    CameraStreamItem,
    CameraStreamsRequest,
    CameraStreamsResponse,
    FoundCamera,
    FoundCamerasResponse,
)
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NetworkDisabledError, NotFoundError
from engine.media.address import nearness, parse_address, redact, resolve_host
from engine.media.onvif import DEVICE_PATH, find_devices, read_device, with_sign_in
from storage.camera_records import CameraRow

WAIT_S: Final = 3.0
"""Devices answer a call within half a second; those that sleep take longer."""


def find_cameras(wait_s: float = WAIT_S) -> FoundCamerasResponse:
    """Call for ONVIF devices on the networks of this machine."""
    devices = sorted(find_devices(wait_s), key=lambda device: (device.name, device.address))
    return FoundCamerasResponse(devices=[FoundCamera(**asdict(device)) for device in devices])


def list_streams(context: ServiceContext, request: CameraStreamsRequest) -> CameraStreamsResponse:
    """Ask one device for its streams.

    Raises:
        UnreachableError: Nobody answers, or the sign-in is refused.
        InputRefusedError: It is no address of a device, or it does not speak ONVIF.
    """
    facts = read_device(_service_address(context, request.address), sign_in_of(request))
    return CameraStreamsResponse(
        name=facts.name,
        streams=[CameraStreamItem(**asdict(stream)) for stream in facts.streams],
        refused=[*facts.refused],
    )


def add_found_camera(
    context: ServiceContext,
    name: str,
    request: CameraStreamsRequest,
    profile: str | None = None,
    fields: CameraFields | None = None,
) -> CameraRow:
    """Add a stream of a device as a camera, with the sign-in of the device.

    Args:
        profile: Of the stream; the one with the largest picture when `None`.
    Raises:
        NotFoundError: It has no such stream.
        UnreachableError: Nobody answers, or the sign-in is refused.
        InputRefusedError: It cannot be added.
    """
    streams = list_streams(context, request).streams
    wanted = [stream for stream in streams if profile in {None, stream.profile}]
    if not wanted:
        there = ", ".join(stream.profile for stream in streams)
        raise NotFoundError(
            f"the device has no stream {profile!r} that may be opened",
            hint=f"there are {there}" if there else None,
        )
    return add_camera(context, name, with_sign_in(wanted[0].address, sign_in_of(request)), fields)


def sign_in_of(request: CameraStreamsRequest) -> tuple[str, str] | None:
    """Return the name and the password of a request; `None` where there is no name."""
    return (request.user, request.password) if request.user else None


def _service_address(context: ServiceContext, given: str) -> str:
    """Return where a device is asked, from what somebody wrote: a host is enough."""
    address = given.strip()
    if "://" not in address:
        address = f"http://{address}"
    parts = parse_address(address)
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise InputRefusedError(
            f"{redact(address)}: a device is asked over http or https",
            hint="give its host, and the name and the password apart",
        )
    # Cameras of the house are asked; the open net only where addresses on the web may be opened.
    host = resolve_host(parts.hostname or "", redact(address))
    if not context.settings.allow_network and nearness(host) == 0:
        raise NetworkDisabledError(redact(address))
    path = DEVICE_PATH if parts.path in {"", "/"} else parts.path
    return urlsplit(address)._replace(path=path, fragment="").geturl()
