"""Cameras that are found: asked by an administrator, added with a sign-in that is kept apart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.schemas.discovery import CameraStreamsRequest
from app.services.camera_discovery import add_found_camera, list_streams
from app.services.camera_registry import show_camera
from app.services.cameras import camera_address
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NetworkDisabledError, NotFoundError
from tests.app.services.conftest import open_library
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD
from tests.support.onvif_device import OnvifServer, open_onvif_device


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path / "home", checkpoint)
    yield opened
    opened.close()


@pytest.fixture
def device() -> Iterator[OnvifServer]:
    with open_onvif_device() as opened:
        yield opened


def request(address: str) -> CameraStreamsRequest:
    return CameraStreamsRequest(address=address, user=NAME, password=PASSWORD)


def test_stream_of_a_device_becomes_a_camera_with_its_sign_in(
    library: ServiceContext, device: OnvifServer
) -> None:
    asked = request(f"127.0.0.1:{device.port}")
    assert [item.profile for item in list_streams(library, asked).streams] == ["main", "sub"]
    gate = add_found_camera(library, "Gate", asked)
    whole = f"rtsp://{NAME}:{QUOTED_PASSWORD}@127.0.0.1:8554/main"
    assert camera_address(library, gate) == whole
    shown = show_camera(library, "Gate")
    assert shown.cameras[0].address == "rtsp://127.0.0.1:8554/main"
    assert QUOTED_PASSWORD not in f"{shown} {asked}"
    assert PASSWORD not in f"{shown} {asked!r}"
    yard = add_found_camera(library, "Yard", asked, "sub")
    assert camera_address(library, yard).endswith("/sub")
    with pytest.raises(NotFoundError, match="no stream 'third'") as caught:
        add_found_camera(library, "Door", asked, "third")
    assert caught.value.hint == "there are main, sub"


def test_only_devices_are_asked(library: ServiceContext) -> None:
    with pytest.raises(NetworkDisabledError):
        list_streams(library, request("http://93.184.216.34/onvif/device_service"))
    for address in ("rtsp://10.0.0.7", "http://user:pw@10.0.0.7/", "http://169.254.169.254", "a b"):
        with pytest.raises(InputRefusedError) as caught:
            list_streams(library, request(address))
        assert "pw" not in str(caught.value)
