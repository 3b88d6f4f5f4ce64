"""Sources as users name them: files, folders, cameras, streams."""

import contextlib
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from app.config.settings import Settings
from app.schemas.videos import MediaRootsResponse
from engine.errors import InputRefusedError, LongwatchError, MediaRefusedError, UnreachableError
from engine.media.address import feed_uri, is_address, is_live_uri, redact
from engine.media.chapters import file_order
from engine.plural import counted
from storage.records import FileContent, VideoRow

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
"""Endings taken from a folder; a file that is named outright is judged by its content alone."""

MAX_FILES_LISTED: Final = 500

_BLOCK_BYTES = 1 << 16
_N_BLOCKS = 256


def expand(sources: list[str]) -> Iterator[str]:
    """Yield the media files of folders as they were recorded, and every other source as it is.

    Hidden files, links and other endings in a folder are left alone; `describe_skipped` says so.

    Raises:
        UnreachableError: No such file or folder.
        InputRefusedError: A folder without media, or an address of another kind.
    """
    for source in map(feed_uri, sources):
        path = Path(source).expanduser()
        if is_live_uri(source):
            yield source
        elif not source.strip():
            # To pathlib it is the working folder: a variable that is not set would have it read.
            raise UnreachableError("an empty path names no file", hint="check the path")
        elif _is(path, Path.is_dir):
            yield from _media_in(path)
        elif _is(path, Path.exists):
            yield str(path.resolve())
        elif is_address(source):
            raise InputRefusedError(
                f"{redact(source)!r} is no address that is read",
                hint="rtsp(s)://, http(s)://, udp:// and /dev/video0 are; give a file by its path",
            )
        else:
            raise UnreachableError(f"no file or folder {_shown(source)!r}", hint="check the path")


def list_roots(settings: Settings) -> MediaRootsResponse:
    """Return the folders whose files may be added from the web app, and the media in them."""
    files: list[str] = []
    for root in settings.paths.media_roots:
        # A folder that is gone or empty offers nothing.
        with contextlib.suppress(LongwatchError):
            files += expand([str(root)])
    roots = [str(root) for root in settings.paths.media_roots]
    return MediaRootsResponse(roots=roots, files=files[:MAX_FILES_LISTED])


def check_allowed(settings: Settings, source: str) -> str:
    """Return a source that may be added from the web app, links resolved.

    Raises:
        InputRefusedError: No camera, and no file below a configured folder; links that lead out
            of it are refused.
    """
    source = feed_uri(source)
    if is_live_uri(source):
        return source
    try:
        path = Path(source).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        path = None
    roots = [root.expanduser().resolve() for root in settings.paths.media_roots]
    if path is None or not any(path.is_relative_to(root) for root in roots) or not path.is_file():
        raise InputRefusedError(
            "only files below the configured folders can be added",
            hint="set paths.media_roots in longwatch.toml, or upload the file",
        )
    return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLook:
    """A file as it was when it was looked at."""

    identity: str
    """Digest by which the same file is known again, from its size and blocks of it."""
    content: FileContent


def look_at(path: Path, *, up_to_bytes: int | None = None) -> FileLook:
    """Return digests of a file, from its size and blocks of it.

    Args:
        up_to_bytes: As if the file ended there.
    Raises:
        MediaRefusedError: A pipe, a device or a folder, which may never end or never begin.
        UnreachableError: It cannot be opened.
    Cost: 16 MiB read at most, however long the video.
    """
    with _open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if up_to_bytes is not None:
            size_bytes = min(size_bytes, up_to_bytes)
        digest = hashlib.blake2b(str(size_bytes).encode(), digest_size=16)
        body = hashlib.blake2b(digest_size=16)
        n_blocks = min(_N_BLOCKS, -(-size_bytes // _BLOCK_BYTES))
        for block in range(n_blocks):
            at = block * max(0, size_bytes - _BLOCK_BYTES) // max(1, n_blocks - 1)
            file.seek(at)
            data = file.read(min(_BLOCK_BYTES, size_bytes - at))
            digest.update(data)
            body.update(data[max(0, _BLOCK_BYTES - at) :])
    content = FileContent(size_bytes=size_bytes, body_digest=body.hexdigest())
    return FileLook(identity=digest.hexdigest(), content=content)


def identify(path: Path) -> str:
    """Return a digest by which the same file is known again, from its size and blocks of it.

    Raises:
        MediaRefusedError: A pipe, a device or a folder, which may never end or never begin.
        UnreachableError: It cannot be opened.
    """
    return look_at(path).identity


def has_grown(row: VideoRow, path: Path, look: FileLook) -> bool:
    """Return whether a file is the one of a video, with more bytes behind what was its end.

    What closes a file may rewrite the header, whose sizes and times were open until then, so the
    body alone decides where there is one.
    """
    before = row.content
    if before is None or before.size_bytes >= look.content.size_bytes:
        return False
    again = look_at(path, up_to_bytes=before.size_bytes)
    has_body = before.size_bytes > 2 * _BLOCK_BYTES
    return again.identity == row.identity or (has_body and again.content == before)


def describe_skipped(source: str) -> str | None:
    """Return one line about the files of a folder that are left alone; `None` where none are."""
    folder = Path(source).expanduser()
    if is_live_uri(source) or not folder.is_dir():
        return None
    kinds = Counter(kind for _, kind in _files_in(folder) if kind is not None)
    if not kinds:
        return None
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{counted(kinds.total(), 'file')} of {source} left alone: {listed}"


def is_folder(source: str) -> bool:
    """Return whether a source is a folder of files."""
    return not is_live_uri(source) and _is(Path(source).expanduser(), Path.is_dir)


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:
        # A name that is too long, or a folder that may not be entered.
        return False


def _open_regular(path: Path) -> BinaryIO:
    try:
        # Opening a pipe would wait for somebody to write into it.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise UnreachableError(f"{path}: {(error.strerror or 'unusable').lower()}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise MediaRefusedError(str(path), "this is not a file", hint="give a video file")
    return file


def _shown(source: str) -> str:
    """Return a source that is no file as messages show it: it may be a mistyped address."""
    sign_in, at, rest = source.rpartition("@")
    return rest if at and ":" in sign_in else redact(source)


def _media_in(folder: Path) -> list[str]:
    files = sorted((path for path, kind in _files_in(folder) if kind is None), key=file_order)
    if not files:
        skipped = describe_skipped(str(folder))
        hint = "name a file outright" if skipped is None else f"{skipped}; name a file outright"
        raise InputRefusedError(f"no video in the folder {folder}", hint=hint)
    return [str(path.resolve()) for path in files]


def _files_in(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield every file below a folder, and as what it is left alone; `None` for media."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            yield path, "link"
        elif not path.is_file():
            continue
        elif any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path, "hidden"
        elif path.suffix.lower() in MEDIA_SUFFIXES:
            yield path, None
        else:
            yield path, path.suffix.lower() or "without an ending"
