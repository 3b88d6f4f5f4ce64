"""Files of the home folder that are copies of an object store: held while in use, else evicted.

The time of the last use is a file's access time, set here: file systems are mounted without it.
Who uses a copy holds a shared lock on it, which other processes of this machine see too.
"""

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from engine.errors import DiskFullError, NotFoundError, UnreachableError
from engine.files import atomic_write, is_out_of_space, make_folder
from engine.media.address import is_live_uri
from engine.records import VideoId
from storage.catalog import Catalog
from storage.files import SHARED, HomeFolder
from storage.object_store import BLOCK_BYTES

KEPT_SHARE: Final = 0.9
"""Share of the budget that an eviction leaves: the next one is not due with the next file."""
_USED_EVERY_S: Final = 60.0
"""Between two notes that a file was used: a note is a write to the disk."""

_log = logging.getLogger(__name__)


class HomeCopies:
    """The budget of copies in one home folder. Safe for several threads and processes.

    Args:
        home: The folder.
        budget_bytes: Bytes of copies that may stay.
        is_stored: Tells whether a file lies in the store as it lies here: only such a file leaves.
    """

    def __init__(
        self, home: HomeFolder, budget_bytes: int, is_stored: Callable[[Path], bool]
    ) -> None:
        self._home = home
        self._budget_bytes = budget_bytes
        self._is_stored = is_stored
        self._n_bytes: int | None = None
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, path: Path) -> Iterator[Path]:
        """Keep a file from being evicted while the body runs.

        Raises:
            FileNotFoundError: It is gone.
        """
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            note_use(path)
            yield path

    def added(self, n_bytes: int) -> None:
        """Count bytes that came, and evict copies that were not used for the longest time.

        Cost: a look at every file when the budget is passed; else none but the first time.
        """
        with self._lock:
            if self._n_bytes is not None:
                self._n_bytes += n_bytes
            if self._n_bytes is None or self._n_bytes > self._budget_bytes:
                self._n_bytes = self._evict()

    def _evict(self) -> int:
        """Evict down to a share of the budget; return the bytes that are left."""
        files = sorted(_files(self._home))
        left_bytes = sum(n_bytes for _, n_bytes, _ in files)
        if left_bytes <= self._budget_bytes:
            return left_bytes
        n_evicted = 0
        for _, n_bytes, path in files:
            if left_bytes <= self._budget_bytes * KEPT_SHARE:
                break
            if self._is_stored(path) and _remove_unless_held(path):
                left_bytes -= n_bytes
                n_evicted += 1
        _log.info("%d copies evicted, %.1f MB are left", n_evicted, left_bytes / 1e6)
        return left_bytes


@contextmanager
def new_copy(path: Path) -> Iterator[Path]:
    """Yield a file that takes the name of a copy once the body has filled it.

    Raises:
        DiskFullError: No space here.
        UnreachableError: It cannot be written.
    """
    try:
        make_folder(path.parent, durable=False)
        with atomic_write(path, durable=False) as temporary:
            yield temporary
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(
                f"{path}: no space left for a copy of what lies in the object store",
                hint="free some space, or lower objects.cache_bytes",
            ) from error
        raise UnreachableError(f"{path}: cannot be written ({error.strerror})") from error


def note_use(path: Path) -> None:
    """Note that a file is used now; one that is gone is no failure."""
    with suppress(OSError):
        status = path.stat()
        if time.time() - status.st_atime > _USED_EVERY_S:
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))


def _files(home: HomeFolder) -> Iterator[tuple[int, int, Path]]:
    """Yield the files that may be copies: when each was last used, its bytes, its path."""
    for tree in SHARED:
        for path in (home.path / tree).rglob("*"):
            # Another process may delete it at this moment.
            with suppress(OSError):
                status = path.stat()
                if path.is_file() and not path.name.startswith("."):
                    used_ns = max(status.st_atime_ns, status.st_mtime_ns)
                    yield used_ns, status.st_size, path


def _remove_unless_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:
        return False
    return True


def file_digest(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file and its length."""
    digest, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            n_bytes += len(block)
    return digest.hexdigest(), n_bytes


def waits_for_store(catalog: Catalog) -> Callable[[Path], bool]:
    """Return what tells whether the writer of a file waits for a store that is away.

    Chunks of files wait: reading goes on when it is back. Cameras do not, nor do people who have
    sent a whole file or renamed a video.
    """

    def waits(path: Path) -> bool:
        if path.suffix in {".mp4", ".layout", ".bin", ".json"}:
            return False
        with suppress(NotFoundError):
            return not is_live_uri(catalog.videos.get(VideoId(path.parent.name)).uri)
        return True

    return waits
