"""Files that appear under their name whole or not at all, and survive a loss of power; checksums.

Write to a temporary name in the same folder, flush the file, rename it over the final name, flush
the folder. A flush costs milliseconds on a disk, so callers whose files are cheap to rebuild may
leave it out (`durable=False`): a kill then still leaves the old file or the new one, a loss of
power may leave an empty one.

Source: the order of calls is that of fsync(2), rename(2) and "All File Systems Are Not Created
Equal" (Pillai et al., OSDI 2014), table 5.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

_CLOCK_TICK_NS = 2_000_000_000
"""Coarsest step of a folder's modification time (FAT: 2 s)."""
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def atomic_write(
    path: Path, *, durable: bool = True, single_writer: bool = False
) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` on success.

    Readers of an earlier file keep it until the end; of two writers the last one wins.

    Args:
        path: In a folder that exists; an earlier file is replaced.
        durable: Flush file and folder to the disk, so that the new file survives a power cut.
        single_writer: Always use the same temporary name, so that the next attempt overwrites
            what a killed one left. Only where no two writers of `path` can meet.
    Raises:
        OSError: The file cannot be written; the earlier one is untouched and the temporary file
            deleted, as on any other exception of the block.
    """
    token = "" if single_writer else f".{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}{token}.part")
    try:
        yield temporary
        if durable:
            _fsync(temporary)
        temporary.replace(path)
        if durable:
            _fsync(path.parent)
    except BaseException:
        # The first error is the one to report: the disk may refuse this one too.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def atomic_write_bytes(
    path: Path, content: bytes, *, durable: bool = True, private: bool = False
) -> None:
    """Write `content` to `path` as `atomic_write` does; raises what it raises.

    Args:
        private: Readable by its owner alone, whatever the umask allows.
    """
    with atomic_write(path, durable=durable) as temporary:
        if private:
            create_private(temporary)
        temporary.write_bytes(content)


def create_private(path: Path) -> None:
    """Create an empty file for its owner alone: no moment at which others may open it.

    Raises:
        OSError: The file exists, or its folder cannot be written to.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def fsync_rename(source: Path, target: Path) -> None:
    """Rename a complete file for good: its bytes and both folders are flushed; nothing is copied.

    Raises:
        OSError: `source` is missing, or `target` is on another file system.
    """
    _fsync(source)
    source.replace(target)
    _fsync(target.parent)
    if source.parent != target.parent:
        _fsync(source.parent)


def make_folder(folder: Path, *, durable: bool = True, private: bool = False) -> None:
    """Create a folder with its parents; each new name is flushed to the disk if `durable`.

    Args:
        private: New folders may be entered by their owner alone.
    """
    missing = list(takewhile(lambda path: not path.is_dir(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for path in reversed(missing if durable else []):
        _fsync(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder with its files; readers see all of it or nothing.

    What a killed call has left is deleted by the next; nothing happens when there is none.
    """
    leaving = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(leaving, ignore_errors=True)
    if folder.exists():
        folder.rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)


def is_settled(changed_at_ns: int) -> bool:
    """Return whether a later change of a folder would be seen: its clock has ticked since."""
    return time.time_ns() - changed_at_ns > _CLOCK_TICK_NS


def folder_times_ns(root: Path) -> dict[str, int]:
    """Return the folders in a folder, with the time at which a name in each last came or went.

    None where there is no such folder.
    """
    times_ns: dict[str, int] = {}
    with suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            if not entry.is_dir():
                continue
            # A plain `try`: a library of thousands is looked at before every question.
            try:
                times_ns[entry.name] = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # It was deleted at this moment.
    return times_ns


def note_change(folder: Path) -> None:
    """Note by the time of a folder that something below it has changed."""
    # Without a note it is found a minute later.
    with suppress(OSError):
        os.utime(folder)


def noted_at_ns(*folders: Path) -> int:
    """Return when something last changed below folders, as `note_change` notes it; 0 without."""
    return max(map(_changed_at_ns, folders))


def _changed_at_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_out_of_space(error: OSError) -> bool:
    """Whether the disk, a quota or the largest file size was the limit."""
    return error.errno in _NO_SPACE


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
