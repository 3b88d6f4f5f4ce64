"""A camera as a file of its own, from which a lost row is rebuilt.

Decision: one small file a camera, beside and not in the folder of its recordings, which comes and
goes with what is recorded. It holds what somebody set; how the camera is doing is found out again.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.errors import DiskFullError, UnreachableError
from engine.files import atomic_write_bytes, is_out_of_space, make_folder
from storage.camera_records import CameraRetention, CameraRow, CameraTransport
from storage.files import HomeFolder
from storage.records import CameraId

FORMAT: Final = 1
"""Version of the file; readers pass over what they do not know."""

_KEPT = ("id", "name", "address", "timezone", "fps", "records", "enabled")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCamera:
    """A camera as its file describes it."""

    id: CameraId
    name: str
    address: str
    """Without secrets."""
    has_sign_in: bool
    """Whether its address held secrets, or named some."""
    timezone: str | None
    fps: float | None
    watch: tuple[str, ...]
    records: bool
    records_sound: bool
    transport: CameraTransport
    enabled: bool
    retention: CameraRetention
    created_at: datetime


def write_camera_file(home: HomeFolder, row: CameraRow, *, has_sign_in: bool) -> None:
    """Write down what was set of a camera; its address in the row holds no secrets.

    A file that says the same already stays as it is.

    Raises:
        DiskFullError: No space; an earlier file is untouched.
        UnreachableError: The folder cannot be written to.
    """
    facts: dict[str, Any] = {
        "format": FORMAT,
        **{name: getattr(row, name) for name in _KEPT},
        "has_sign_in": has_sign_in,
        "watch": [*row.watch],
        "transport": row.transport,
        "records_sound": row.records_sound,
        "retention": asdict(row.retention),
        "created_at": row.created_at.isoformat(),
    }
    path = home.camera_file(row.id)
    content = json.dumps(facts, indent=1, ensure_ascii=False).encode()
    try:
        make_folder(path.parent)
        if not path.exists() or path.read_bytes() != content:
            atomic_write_bytes(path, content)
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(f"no space left for {path}") from error
        raise UnreachableError(f"{path}: cannot be written ({error.strerror})") from error


def read_camera_files(home: HomeFolder) -> tuple[KeptCamera, ...]:
    """Return the cameras that have files, oldest first.

    A file that cannot be understood is passed over, with a line in the log.
    """
    read = filter(None, map(_read, home.camera_files()))
    return tuple(sorted(read, key=lambda kept: (kept.created_at, kept.id)))


def read_camera_file(home: HomeFolder, camera: CameraId) -> KeptCamera | None:
    """Return a camera as its file describes it; `None` without one that can be understood."""
    path = home.camera_file(camera)
    return _read(path) if path.exists() else None


def _read(path: Path) -> KeptCamera | None:
    try:
        facts = json.loads(path.read_bytes())
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}; this version reads {FORMAT}")
        if facts["id"] != path.stem:
            raise ValueError(f"it is about the camera {facts['id']!r}")
        return KeptCamera(
            **{name: facts[name] for name in _KEPT},
            has_sign_in=facts["has_sign_in"],
            watch=tuple(facts["watch"]),
            # Files of earlier versions do not have these.
            transport=facts.get("transport", "auto"),
            records_sound=facts.get("records_sound", True),
            retention=CameraRetention(**facts["retention"]),
            created_at=datetime.fromisoformat(facts["created_at"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("%s is passed over: %s", path, error)
        return None
