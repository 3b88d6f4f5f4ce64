"""Where files lie below the home folder, and how one is written so that it is whole or not there.

    media/<video>.<ending>                      originals that were uploaded
    latents/<fingerprint>/<video>/<ordinal>     written by the engine
    index/                                      written by the engine
    thumbs/<video>/<name>                       pictures and sprites
    proxies/<video>.mp4                         what a browser can play
    uploads/<upload>                            files on their way in

Only ids and names of ours become paths; whatever else is asked for is a `ValueError`.
"""

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from engine.errors import DiskFullError, UnreachableError
from engine.records import VideoId
from storage.records import UploadId

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ENDING = re.compile(r"\.[a-z0-9]{1,8}")
_PART = ".part"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Blobs:
    """The files of one home folder; makes a folder when the first file goes into it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.latents = home / "latents"
        self.index = home / "index"

    def media(self, video: VideoId, ending: str) -> Path:
        """Where an uploaded original lies; `ending` is `.mp4` and the like."""
        if not _ENDING.fullmatch(ending):
            raise ValueError(f"an ending is a dot and up to 8 letters, not {ending!r}")
        return self.home / "media" / (_safe(video) + ending)

    def thumb(self, video: VideoId, name: str) -> Path:
        """Where a picture of a video lies."""
        return self.home / "thumbs" / _safe(video) / _safe(name)

    def proxy(self, video: VideoId) -> Path:
        """Where the copy for browsers lies."""
        return self.home / "proxies" / f"{_safe(video)}.mp4"

    def upload(self, upload: UploadId) -> Path:
        """Where an upload grows until it is whole."""
        return self.home / "uploads" / _safe(upload)

    def of_video(self, video: VideoId) -> tuple[Path, ...]:
        """Every file and folder that belongs to a video, whichever pipeline wrote it."""
        name = _safe(video)
        found = [
            *self.home.glob(f"media/{name}.*"),
            *self.home.glob(f"latents/*/{name}"),
            *self.home.glob(f"thumbs/{name}"),
            *self.home.glob(f"proxies/{name}.mp4"),
        ]
        # An id may hold dots, so `a.*` also finds the originals of `a.b`.
        return tuple(path for path in found if path.name in {name, name + path.suffix})

    def remove(self, video: VideoId) -> None:
        """Delete everything that belongs to a video; files elsewhere on the disk stay."""
        for path in self.of_video(video):
            with _sentences(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Space left on the disk of the home folder."""
        at = self.home
        while not at.exists():
            at = at.parent
        return shutil.disk_usage(at).free

    def sweep(self, *, older_than_s: float = 24 * 3600) -> int:
        """Delete what writers that were killed left beside their files.

        Returns:
            How many there were.
        """
        before = time.time() - older_than_s
        swept = 0
        for folder in ("media", "thumbs", "proxies"):
            for part in (self.home / folder).rglob(f".*{_PART}"):
                with suppress(FileNotFoundError):
                    if part.stat().st_mtime < before:
                        part.unlink()
                        swept += 1
        return swept


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name whole and on disk, or not at all.

    Readers of an earlier file keep it until the end; of two writers the last one wins.

    Raises:
        DiskFullError: No space; an earlier file is untouched.
        UnreachableError: The folder cannot be written.
    """
    with writing_beside(path) as beside, beside.open("wb") as file:
        yield file


@contextmanager
def writing_beside(path: Path) -> Iterator[Path]:
    """The same for libraries that want a path: write it, close it, leave the block."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART}")
    with _sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            _sync(beside)
            beside.replace(path)
            _sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Give a file that is whole its lasting name; no byte is copied.

    Raises:
        UnreachableError: It is not there, or lies on another disk.
    """
    with _sentences(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync(source)
        source.replace(target)
        _sync(target.parent)
        _sync(source.parent)


def _safe(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise ValueError(
            f"a name of ours is up to 128 letters, digits, dots, dashes and underscores and "
            f"begins with none of the middle two, not {name!r}"
        )
    return name


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskFullError(
                f"{path}: no space left", hint="free some space; what is stored is intact"
            ) from error
        raise UnreachableError(
            f"{path}: {error.strerror or error}", hint="is the home folder there, and writable?"
        ) from error
