"""The file by which a running server is found; it ends with the server.

The file says which process serves, since when, and with which token; the socket lies beside it.
Both are for their owner alone. A file that a killed server left is known by its process, which is
gone or was started at another time.
"""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from app.config.settings import Settings
from app.version import product_version
from engine.errors import LongwatchError
from engine.files import atomic_write_bytes
from storage.files import HomeFolder

_MAX_ADDRESS_BYTES: Final = 100
"""Longest path of a Unix socket; `sockaddr_un` holds 104 bytes on macOS, 108 on Linux."""

_WITHOUT_EFFECT: Final = frozenset({"home", "log", "server", "retention"})
"""Settings that change no result of a command; the home folder is the same already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFile:
    """The server of a home folder."""

    version: str
    process: str
    """Machine and process id."""
    started_at: float
    """When the process started, in seconds since 1970: another one may have its id today."""
    token: str = field(repr=False)
    with_worker: bool

    @classmethod
    def of_this_process(cls, *, with_worker: bool) -> "RuntimeFile":
        """Return the file of this process, with a new token."""
        import psutil

        # Late: psutil, which a command without a server does without.
        from app.worker.processes import this_process

        return cls(
            version=product_version(),
            process=this_process(),
            started_at=psutil.Process().create_time(),
            token=secrets.token_urlsafe(32),
            with_worker=with_worker,
        )

    def write(self, home: Path) -> None:
        """Write the file, for its owner alone."""
        path = runtime_path(home)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.parent.chmod(0o700)
        atomic_write_bytes(path, json.dumps(asdict(self)).encode())
        path.chmod(0o600)

    def is_running(self) -> bool:
        """Tell whether its process runs here: on this machine, in this container."""
        import psutil

        # Late: psutil, which a command without a server does without.
        from app.worker.processes import this_process

        machine, _, pid = self.process.rpartition(":")
        if machine != this_process().rpartition(":")[0] or not pid.isdecimal():
            return False
        with suppress(psutil.Error):
            process = psutil.Process(int(pid))
            # The kernel counts in hundredths of a second.
            is_same = abs(process.create_time() - self.started_at) < 0.05
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        return False


def runtime_path(home: Path) -> Path:
    """Return where the server of a home folder writes its file."""
    return HomeFolder(home).run / "server.json"


def socket_path(home: Path) -> Path:
    """Return where the server of a home folder listens for commands."""
    return HomeFolder(home).run / "commands.sock"


def read_runtime_file(home: Path) -> RuntimeFile | None:
    """Return the server of a home folder; `None` where none runs that this user may use.

    A file that others may read or write, or of another user, is not believed.
    """
    try:
        with runtime_path(home).open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
                return None
            server = RuntimeFile(**json.loads(file.read(1 << 16)))
    except (OSError, ValueError, TypeError):
        return None
    return server if server.is_running() else None


def settings_digest(settings: Settings) -> str:
    """Return a digest of the settings that shape what a command does.

    The password of a database is part of it, and cannot be read from it.
    """
    values = settings.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    values["database_url"] = settings.catalog_url
    with suppress(LongwatchError, OSError):
        if Path(settings.model).exists():
            values["model"] = str(Path(settings.model).resolve())
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield an address of a socket file that is short enough, whatever its folder is called.

    Raises:
        OSError: The folder is not there, or its name is too long for this system.
    """
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
