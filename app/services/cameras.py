"""The secrets of cameras: kept apart from the library, and put into an address to connect.

Decision: the whole address is kept, in a file of its own that only its owner may read, because a
secret may stand anywhere in it; the catalog, and whatever shows or exports it, has what is left
when the secrets are taken out. A copy of the database therefore holds none.
Decision: an address may name an environment variable or a file in place of a secret, as
`rtsp://viewer:{env:LONGWATCH_SECRET_GATE}@host/` does. The names are restricted, because the
address is sent to a host that whoever adds the camera chooses.
"""

import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.config.camera_secrets import SECRET_PREFIX, secret_variable
from app.services.context import ServiceContext
from engine.errors import InputRefusedError
from engine.media.address import is_live_uri, redact
from storage.camera_records import CameraRow
from storage.files import HomeFolder
from storage.records import VideoRow

_REFERENCE: Final = re.compile(r"\{(env|file):([^{}]*)\}")
_MAX_SECRET_BYTES: Final = 1024
_SYSTEM_SECRETS: Final = Path("/run/secrets")
"""Where container systems mount secrets."""


def keep_address(context: ServiceContext, video: VideoRow, address: str) -> None:
    """Keep the address of a camera, if it holds a secret or names one."""
    if is_live_uri(address) and address != video.uri:
        HomeFolder(context.settings.home).write_secret(video.id, address)


def camera_address(context: ServiceContext, camera: CameraRow) -> str:
    """Return what a camera is opened by, with its sign-in; not to be shown, logged or stored.

    Raises:
        InputRefusedError: The address names a secret that is not there.
        UnreachableError: The file of the secret cannot be read.
    """
    secret = HomeFolder(context.settings.home).read_secret(camera.id)
    return resolve_references(context, camera.address if secret is None else secret)


def keep_camera_address(context: ServiceContext, camera: CameraRow, address: str) -> None:
    """Keep the address of a camera, in place of what was kept before."""
    HomeFolder(context.settings.home).write_secret(camera.id, address)


def has_sign_in(context: ServiceContext, camera: CameraRow) -> bool | None:
    """Return whether the address of a camera holds secrets, or names some.

    `None` where it is not kept here: another machine has it, or it is lost.
    """
    secret = HomeFolder(context.settings.home).read_secret(camera.id)
    return None if secret is None else secret != camera.address


def source_address(context: ServiceContext, video: VideoRow) -> str:
    """Return what a video is opened by: its file, or the address of its camera with the sign-in.

    Not to be shown, logged or stored.

    Raises:
        InputRefusedError: The address names a secret that is not there.
        UnreachableError: The file of the secret cannot be read.
    """
    if not is_live_uri(video.uri):
        return video.uri
    if video.camera is not None:
        return camera_address(context, context.catalog.cameras.get(video.camera))
    return resolve_references(context, kept_address(context, video))


def kept_address(context: ServiceContext, video: VideoRow) -> str:
    """Return the address of a feed as it was given, with its secrets or their names.

    Not to be shown, logged or stored.
    """
    secret = HomeFolder(context.settings.home).read_secret(video.id)
    return video.uri if secret is None else secret


def resolve_references(context: ServiceContext, address: str) -> str:
    """Return the address of a camera with the secrets that it names, escaped, in their places.

    Raises:
        InputRefusedError: A secret is not there, or may not be named.
    """
    if not is_live_uri(address):
        return address
    shown, folder = redact(address), HomeFolder(context.settings.home).secrets
    return _REFERENCE.sub(
        lambda match: quote(_secret(match[1], match[2], folder, shown), safe=""), address
    )


def _secret(kind: str, name: str, folder: Path, shown: str) -> str:
    if kind == "env":
        if not name.startswith(SECRET_PREFIX):
            raise InputRefusedError(
                f"{shown}: the variable {name!r} may not be used",
                hint=f"use one whose name begins with {SECRET_PREFIX}",
            )
        value = secret_variable(name)
        if value is None:
            raise InputRefusedError(
                f"{shown}: the environment variable {name} is not set", hint="set it and try again"
            )
        return value
    path = Path(name).resolve()
    if not any(path.is_relative_to(at) for at in (folder.resolve(), _SYSTEM_SECRETS)):
        raise InputRefusedError(
            f"{shown}: the file {name!r} may not be used",
            hint=f"put it into {folder} or {_SYSTEM_SECRETS}",
        )
    if not path.is_file():
        raise InputRefusedError(f"{shown}: the file {name!r} is not there", hint="check its path")
    with path.open("rb") as file:
        return file.read(_MAX_SECRET_BYTES).decode(errors="replace").strip()
