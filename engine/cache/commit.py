"""Files of a chunk, committed to the disk: whole or absent, and what a failure means."""

from pathlib import Path

from engine.errors import DiskFullError, UnreachableError
from engine.files import atomic_write_bytes, is_out_of_space, make_folder


def commit_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Write a chunk's file; on failure nothing but the attempt is lost.

    Args:
        path: Its folder is created where it is missing.
        content: The whole file.
        durable: Whether to wait until it survives a loss of power.
    Raises:
        DiskFullError: No space; an earlier file of this name is untouched.
        UnreachableError: The folder cannot be written to.
    """
    try:
        make_folder(path.parent, durable=durable)
        atomic_write_bytes(path, content, durable=durable)
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(
                f"{path}: no space left for {len(content)} bytes; everything before it is kept",
                hint="free some space, then ingest again: it resumes behind the last stored chunk",
            ) from error
        raise UnreachableError(f"{path}: cannot be written ({error.strerror})") from error


def set_aside_name(path: Path) -> Path:
    """Return the name of a damaged file until its chunk is written again; nothing reads it."""
    return path.with_name(path.name + ".bad")


def set_aside(path: Path) -> None:
    """Give a damaged file another name, under which nothing reads it.

    Raises:
        UnreachableError: The folder cannot be written to.
    """
    try:
        path.replace(set_aside_name(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be renamed ({error.strerror})") from error
