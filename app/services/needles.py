"""Needles of one's own for probes ordered on a page: folders of the server, and uploads.

A set is named by a key: the path of a folder below a configured root, or `upload/NAME`. A key from
a client is only ever compared with what is there, never used as a path.

Decision: pictures are read here and not in the sandbox: only an admin may order a probe, only five
formats are opened, and how much is unpacked is bounded before it is.
"""

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from app.config.settings import Settings
from engine.errors import InputRefusedError, NotFoundError
from engine.evaluation.needle import LISTING, Needle, NeedleLimits, load_needles
from storage.files import HomeFolder

MAX_ARCHIVE_BYTES: Final = 64 << 20
MAX_UNPACKED_BYTES: Final = 256 << 20
MAX_MEMBERS: Final = 2_000
MAX_UPLOADS: Final = 32
MAX_FOLDERS: Final = 200
LIMITS: Final = NeedleLimits(needles=64, pixels=64_000_000)
"""A page is no place for a day's work: the command line takes more."""
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
_DEPTHS: Final = ("", "*/", "*/*/")
_UPLOAD: Final = "upload/"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleSet:
    """Pictures with questions that can be planted."""

    key: str
    name: str
    is_upload: bool


def list_needles(settings: Settings) -> tuple[NeedleSet, ...]:
    """Return uploads, and folders with a listing at most two levels below a configured root."""
    uploads = HomeFolder(settings.home).needles
    sets = [
        NeedleSet(key=_UPLOAD + folder.name, name=folder.name, is_upload=True)
        for folder in (sorted(uploads.iterdir()) if uploads.is_dir() else ())
        if (folder / LISTING).is_file()
    ]
    for root in settings.paths.media_roots:
        listings = (listing for depth in _DEPTHS for listing in root.glob(depth + LISTING))
        for folder in sorted(listing.parent for listing in listings):
            # A link out of the root is not of the root.
            if folder.resolve().is_relative_to(root.resolve()):
                sets.append(NeedleSet(key=str(folder), name=str(folder), is_upload=False))
    return tuple(sets[:MAX_FOLDERS])


def open_needles(settings: Settings, key: str) -> tuple[Needle, ...]:
    """Return the needles of a set.

    Raises:
        NotFoundError: No such set, or its folder does not lie below a configured root.
        InputRefusedError: A line or a picture cannot be used; says which and why.
    """
    known = {needle_set.key: needle_set for needle_set in list_needles(settings)}
    if key not in known:
        raise NotFoundError(
            f"no needles {key!r}",
            hint=f"upload a zip, or put a folder with {LISTING} below one of paths.media_roots",
        )
    chosen = known[key]
    uploads = HomeFolder(settings.home).needles
    folder = uploads / chosen.name if chosen.is_upload else Path(chosen.key)
    return load_needles(folder, called=chosen.name, limits=LIMITS)


def check_archive_size(name: str, n_bytes: int) -> None:
    """Refuse an archive as soon as more of it has arrived than is allowed.

    Raises:
        InputRefusedError: It has more than `MAX_ARCHIVE_BYTES`.
    """
    if n_bytes > MAX_ARCHIVE_BYTES:
        raise InputRefusedError(
            f"{name}: the archive has more than {MAX_ARCHIVE_BYTES >> 20} MiB",
            hint="scale the pictures down, or use the command line",
        )


def take_archive(home: Path, name: str, archive: IO[bytes]) -> tuple[NeedleSet, int]:
    """Unpack a zip beside its place, check every line and picture of it, and keep it.

    Returns:
        The set and how many needles it has.
    Raises:
        InputRefusedError: No zip, too much in it, the name is taken, or a needle cannot be used.
    """
    if not re.fullmatch(r"[\w][\w .\-]{0,63}", name) or name != name.strip(" ."):
        raise InputRefusedError(
            f"{name!r} cannot be the name of needles", hint="use letters, digits, spaces, - and _"
        )
    uploads, target = HomeFolder(home).needles, HomeFolder(home).needle_set(name)
    uploads.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise InputRefusedError(f"needles {name!r} are here already", hint="choose another name")
    if len(os.listdir(uploads)) >= MAX_UPLOADS:
        raise InputRefusedError(f"{MAX_UPLOADS} sets are here already", hint="remove one first")
    with tempfile.TemporaryDirectory(prefix=".part-", dir=uploads) as part:
        _unpack(name, archive, Path(part))
        n_needles = len(load_needles(Path(part), called=name, limits=LIMITS))
        shutil.move(part, target)
        # What the temporary folder cleans up is gone with the move.
        Path(part).mkdir()
    return NeedleSet(key=_UPLOAD + name, name=name, is_upload=True), n_needles


def remove_needles(home: Path, name: str) -> None:
    """Delete an upload; runs that were made with it keep their pictures.

    Raises:
        NotFoundError: There is none of this name.
    """
    uploads = HomeFolder(home).needles
    if not uploads.is_dir() or name not in os.listdir(uploads):
        raise NotFoundError(f"no uploaded needles {name!r}")
    shutil.rmtree(uploads / name)


def _unpack(name: str, archive: IO[bytes], folder: Path) -> None:
    """Write the listing and the pictures beside it, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                raise InputRefusedError(f"{name}: more than {MAX_MEMBERS} files in the archive")
            listings = [
                member for member in members if PurePosixPath(member.filename).name == LISTING
            ]
            if not listings:
                raise InputRefusedError(f"{name}: there is no {LISTING} in the archive")
            base = min(
                (PurePosixPath(member.filename).parent for member in listings),
                key=lambda path: len(path.parts),
            )
            left = MAX_UNPACKED_BYTES
            for member in members:
                path = _relative_path(member, base)
                if path is not None:
                    left = _write(name, packed, member, folder / path, left)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputRefusedError(
            f"{name}: this is no zip that can be read ({error})",
            hint="pack the folder as a plain zip, without a password",
        ) from error


def _relative_path(member: zipfile.ZipInfo, base: PurePosixPath) -> PurePosixPath | None:
    """Return where a member goes below the folder; `None` for what is left out."""
    path = PurePosixPath(member.filename)
    if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16):
        return None
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        raise InputRefusedError(f"{member.filename!r} would lie outside the folder")
    if not path.is_relative_to(base):
        return None
    relative = path.relative_to(base)
    is_wanted = str(relative) == LISTING or relative.suffix.lower() in _PICTURES
    return relative if is_wanted else None


def _write(
    name: str, packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int
) -> int:
    """Unpack one file; what its header claims about its size is not believed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(member) as source, target.open("wb") as out:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise InputRefusedError(
                    f"{name}: more than {MAX_UNPACKED_BYTES >> 20} MiB when unpacked",
                    hint="scale the pictures down",
                )
            out.write(block)
    return left
