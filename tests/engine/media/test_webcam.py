"""Webcams: what is asked of this machine, and why one is not read.

No device is needed here: files and other devices stand for what may be found in its place. That
frames of a real one come through is not tested.
"""

import os
from pathlib import Path

import pytest

from engine.errors import FeedRefusedError, MediaRefusedError, UnreachableError
from engine.media.address import device_path, feed_uri, is_device_uri, is_live_uri, redact
from engine.media.sample import probe
from engine.media.source import MediaLimits
from engine.media.webcam import check_device

BY_ID = "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920_1A2B3C4D-video-index0"


@pytest.mark.parametrize("device", ["/dev/video0", "/dev/video12", BY_ID])
def test_device_is_an_address_of_its_own(device: str) -> None:
    uri = feed_uri(device)
    assert uri == f"v4l2://{device}"
    assert feed_uri(uri) == uri
    assert is_live_uri(uri)
    assert is_device_uri(uri)
    assert device_path(uri) == device
    assert redact(uri) == uri


@pytest.mark.parametrize(
    "address",
    [
        "v4l2:///etc/passwd",
        "v4l2:///dev/sda",
        "v4l2:///dev/video0/../sda",
        "v4l2:///dev/v4l/by-id/../../sda",
        "v4l2://host/dev/video0",
        "v4l2:///dev/video0?x=1",
        "v4l2://",
        "V4L2:///dev/../etc/passwd",
    ],
)
def test_nothing_but_a_webcam_is_opened(address: str) -> None:
    assert device_path(address) is None
    with pytest.raises(MediaRefusedError, match="no camera of this machine"):
        probe(address, MediaLimits())


@pytest.mark.parametrize("path", ["/dev/shm/video.mp4", "/dev/videos", "dev/video0", "/dev/null"])
def test_other_paths_stay_files(path: str) -> None:
    assert feed_uri(path) == path
    assert not is_live_uri(path)


def test_device_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(UnreachableError, match="there is no such device") as caught:
        probe("v4l2:///dev/video987", MediaLimits())
    assert "container" in (caught.value.hint or "")


def test_other_devices_and_files_are_no_camera(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"x")
    for path in ("/dev/null", str(tmp_path / "video0"), str(tmp_path)):
        with pytest.raises(MediaRefusedError, match="this is no camera"):
            check_device("v4l2:///dev/video0", path)


def test_missing_rights_are_named_with_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "video0"
    try:
        os.mknod(device, 0o600 | 0o020000, os.makedev(81, 99))
    except PermissionError:
        pytest.skip("only root makes a device")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FeedRefusedError, match="may not read the device") as caught:
        check_device("v4l2:///dev/video0", str(device))
    assert "to the group root" in (caught.value.hint or "")
