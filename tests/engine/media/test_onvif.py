"""ONVIF: devices are found where they are, asked with a digest, and believed in nothing."""

import pytest

from engine.errors import FeedRefusedError, InputRefusedError, LongwatchError, UnreachableError
from engine.media.onvif import find_devices, read_device, with_sign_in
from engine.media.soap import SoapError, parse_xml
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD
from tests.support.onvif_device import MEDIA, MEDIA2, OnvifServer, open_onvif_device

SIGN_IN = (NAME, PASSWORD)
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Envelope>&b;</Envelope>"""


def found(device: OnvifServer) -> list[tuple[str, str, str]]:
    devices = find_devices(1.0, ("127.0.0.1", device.call_port))
    return [(each.address, each.name, each.hardware) for each in devices]


def test_device_that_answers_a_call_is_found_once() -> None:
    with open_onvif_device() as device:
        assert found(device) == [(device.address, "Gate north", "E3")]
        assert device.requests == [], "nobody is asked who was not named"


def test_device_is_only_found_where_its_answer_came_from() -> None:
    with open_onvif_device() as device:
        for named in (
            "http://10.0.0.1/x",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "",
            "@",
        ):
            device.xaddrs = named
            assert found(device) == []
        device.xaddrs = f"http://10.0.0.1/x {device.address}"
        assert [address for address, *_ in found(device)] == [device.address]


def test_device_tells_its_streams_to_whoever_signs_in() -> None:
    with open_onvif_device() as device:
        facts = read_device(device.address, SIGN_IN)
        assert facts.name == "Acme Eye 3"
        main, sub = facts.streams
        assert (main.profile, main.codec, main.width_px, main.height_px, main.fps) == (
            "main",
            "H265",
            1920,
            1080,
            12.5,
        )
        assert (sub.name, sub.address) == ("sub stream", "rtsp://127.0.0.1:8554/sub")
        assert PASSWORD not in "".join(device.headers)
        assert with_sign_in(sub.address, SIGN_IN) == (
            f"rtsp://{NAME}:{QUOTED_PASSWORD}@127.0.0.1:8554/sub"
        )


def test_profile_of_both_media_services_is_read_once_and_in_the_newer() -> None:
    with open_onvif_device() as device:
        device.in_older = ("old",)
        streams = read_device(device.address, SIGN_IN).streams
        assert [(stream.profile, stream.codec) for stream in streams] == [
            ("main", "H265"),
            ("sub", "H264"),
            ("old", "JPEG"),
        ]
        assert device.requests.count("GetStreamUri 2") == 2
        assert device.requests.count("GetStreamUri") == 1


@pytest.mark.parametrize(
    ("services", "broken"), [((), ""), ((MEDIA,), ""), ((MEDIA, MEDIA2), MEDIA2)]
)
def test_device_without_the_newer_media_service_tells_what_it_knows(
    services: tuple[str, ...], broken: str
) -> None:
    with open_onvif_device() as device:
        device.services, device.broken = services, broken
        streams = read_device(device.address, SIGN_IN).streams
        assert [(stream.profile, stream.codec) for stream in streams] == [
            ("sub", "H264"),
            ("main", ""),
        ]
        assert "GetStreamUri 2" not in device.requests


def test_device_with_the_newer_media_service_alone_is_read() -> None:
    with open_onvif_device() as device:
        device.services, device.broken = (MEDIA2,), MEDIA
        streams = read_device(device.address, SIGN_IN).streams
        assert [stream.profile for stream in streams] == ["main", "sub"]


def test_wrong_or_missing_password_is_said_without_showing_it() -> None:
    with open_onvif_device() as device:
        for sign_in, phrase in (((NAME, "no"), "refuses this name"), (None, "wants a name")):
            with pytest.raises(FeedRefusedError, match=phrase) as caught:
                read_device(device.address, sign_in)
            assert NAME not in str(caught.value)


def test_device_leads_nowhere_else() -> None:
    with open_onvif_device() as device:
        # Its media service is asked at the device, and streams that no camera may have are named.
        device.media_host = "169.254.169.254"
        device.streams["main"] = "rtsp://user:pw@169.254.169.254/latest"
        device.streams["sub"] = "rtsp://user:pw@127.0.0.1:8554/sub"
        facts = read_device(device.address, SIGN_IN)
        assert [stream.address for stream in facts.streams] == ["rtsp://127.0.0.1:8554/sub"]
        assert facts.refused == ("rtsp://169.254.169.254/latest",)
        for named in ("file:///etc/passwd", "/dev/video0", "v4l2:///dev/video0", "udp://0.0.0.0:1"):
            device.streams["main"] = named
            assert len(read_device(device.address, SIGN_IN).streams) == 1
    for address in ("http://169.254.169.254/onvif/device_service", "http://[ff02::1]/x"):
        with pytest.raises(InputRefusedError, match="is not opened"):
            read_device(address, SIGN_IN)
    with pytest.raises(UnreachableError, match="nobody answers there"):
        read_device("http://127.0.0.1:1/onvif/device_service", SIGN_IN)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"hello",
        b"\0",
        BOMB,
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"<b/>" * 30_000,
        b'<?xml version="1.0" encoding="x-nothing"?><a/>',
        b"<a>" + b" " * (1 << 21) + b"</a>",
    ],
)
def test_answers_that_are_none_are_refused_in_a_sentence(answer: bytes) -> None:
    with open_onvif_device() as device:
        device.answer = answer
        with pytest.raises(LongwatchError, match=r"speaks no ONVIF|too large"):
            read_device(device.address, SIGN_IN)
        device.status = 302
        with pytest.raises(LongwatchError):
            read_device(device.address, SIGN_IN)
        device.answer, device.status = BOMB, 401
        with pytest.raises(FeedRefusedError):
            read_device(device.address, SIGN_IN)


def test_entities_are_never_expanded() -> None:
    for data in (BOMB, BOMB.decode().encode("utf-16"), b"<!DOCTYPE a SYSTEM 'file:///x'><a/>"):
        with pytest.raises(SoapError, match="document type"):
            parse_xml(data)
