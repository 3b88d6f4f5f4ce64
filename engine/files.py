"""Files that appear under their name whole or not at all, and survive a loss of power.

Write to a temporary name in the same folder, flush the file, rename it over the final name, flush
the folder. A flush costs milliseconds on a disk, so callers whose files are cheap to rebuild may
leave it out (`durable=False`): a kill then still leaves the old file or the new one, a loss of
power may leave an empty one.

Source: the order of calls is that of fsync(2), rename(2) and "All File Systems Are Not Created
Equal" (Pillai et al., OSDI 2014), table 5.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

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


def atomic_write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path` as `atomic_write` does; raises what it raises."""
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_bytes(content)


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


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Create a folder with its parents; each new name is flushed to the disk if `durable`."""
    missing = list(takewhile(lambda path: not path.is_dir(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing if durable else []):
        _fsync(path.parent)


def is_out_of_space(error: OSError) -> bool:
    """Whether the disk, a quota or the largest file size was the limit."""
    return error.errno in _NO_SPACE


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
