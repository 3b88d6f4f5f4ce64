"""What a user names to what can be read: files, folders, cameras, streams."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError, UnreachableError
from engine.media.source import is_live_uri

MEDIA_SUFFIXES = frozenset(
    {
        ".3gp",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogg",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".y4m",
    }
)
"""What is taken from a folder; a file that is named outright is judged by its content alone."""

_BLOCK_BYTES = 1 << 16
_N_BLOCKS = 256


def expand(sources: list[str]) -> Iterator[str]:
    """Folders become the media files in them, sorted; everything else stays.

    Raises:
        UnreachableError: No such file or folder.
        InputRefusedError: A folder without media.
    """
    for source in sources:
        path = Path(source).expanduser()
        if is_live_uri(source):
            yield source
        elif path.is_dir():
            yield from _media_in(path)
        elif path.exists():
            yield str(path.resolve())
        else:
            raise UnreachableError(f"no file or folder {source!r}", hint="check the path")


def identify(path: Path) -> str:
    """A digest by which the same file is known again: its size and blocks spread over it.

    Cost: 16 MiB read at most, however long the video.
    """
    size_bytes = path.stat().st_size
    digest = hashlib.blake2b(str(size_bytes).encode(), digest_size=16)
    n_blocks = min(_N_BLOCKS, -(-size_bytes // _BLOCK_BYTES))
    with path.open("rb") as file:
        for block in range(n_blocks):
            file.seek(block * max(0, size_bytes - _BLOCK_BYTES) // max(1, n_blocks - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def _media_in(folder: Path) -> list[str]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file() and not path.is_symlink()
    )
    if not found:
        raise InputRefusedError(f"no video in the folder {folder}", hint="name a file outright")
    return [str(path.resolve()) for path in found]
