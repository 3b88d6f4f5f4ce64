"""Cameras of this machine, through Video4Linux: found, and refused with a reason.

Decision: JPEG pictures are asked for before plain ones, because they are recorded as they come;
what a camera sends without compression is looked at and not recorded.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer

from engine.errors import FeedRefusedError, MediaRefusedError, UnreachableError
from engine.media.address import device_path

_VIDEO_MAJOR: Final = 81
"""Of the numbers of a device: the kernel's for Video4Linux."""
_FORMAT: Final = "video4linux2,v4l2"
_PICTURES: Final[tuple[dict[str, str], ...]] = ({"input_format": "mjpeg"}, {})
"""What is asked for, one after the other; the last is what the device does of itself."""


def open_webcam(uri: str, options: dict[str, str]) -> InputContainer:
    """Open a camera of this machine.

    Args:
        uri: `v4l2:///dev/video0`.
        options: FFmpeg's, without formats of pictures.
    Raises:
        MediaRefusedError: It is no address of one, or no camera.
        FeedRefusedError: This user may not read it.
        UnreachableError: It is not there, is in use, or sends nothing.
    """
    path = device_path(uri)
    if path is None:
        raise MediaRefusedError(
            uri, "this is no camera of this machine", hint="write it as v4l2:///dev/video0"
        )
    check_device(uri, path)
    reason: BaseException | None = None
    for pictures in _PICTURES:
        own = {"format_whitelist": _FORMAT, "protocol_whitelist": "none", **pictures}
        try:
            return av.open(
                path, "r", format="v4l2", options=options | own, metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = error
    if getattr(reason, "errno", None) == errno.EBUSY:
        raise UnreachableError(f"{uri}: another program uses it", hint="end that program")
    raise UnreachableError(
        f"{uri}: it sends no picture", hint="try another of its devices: one camera has several"
    ) from reason


def check_device(uri: str, path: str) -> None:
    """Raise unless a device is there, is a camera, and may be read; as `open_webcam`."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise UnreachableError(
            f"{uri}: there is no such device",
            hint="connect the camera, and give it to the container where Longwatch runs in one",
        ) from error
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) != _VIDEO_MAJOR:
        raise MediaRefusedError(
            uri, "this is no camera", hint="give one of the devices /dev/video0, /dev/video1, ..."
        )
    if not os.access(path, os.R_OK | os.W_OK):
        group = Path(path).group() if _has_group(path) else str(status.st_gid)
        raise FeedRefusedError(
            f"{uri}: this user may not read the device",
            hint=f"add the user that runs Longwatch to the group {group}, and start it again",
        )


def _has_group(path: str) -> bool:
    try:
        return bool(Path(path).group())
    except KeyError:
        return False
