"""Backup of a library into a folder, and its restoration into an empty home.

    FOLDER/longwatch-backup.json     where each file belongs, with its digest
    FOLDER/files/<ab>/<sha256>       the files, each content once

Decision: files by digest, because latents never change: a second backup into the same folder
copies only what is new, and every file that comes back is known to be the one that went.
Left out is what can be made again (index, sheets for scrubbing, copies for browsers) and unfinished
uploads. Stills are in it: those of a camera cannot be made again.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.config.settings import Settings
from app.schemas.common import MessageResponse
from app.services.context import ServiceContext
from app.services.objects import n_away
from engine.errors import (
    DiskFullError,
    InputRefusedError,
    NotFoundError,
    UnreachableError,
)
from engine.files import (
    atomic_write,
    atomic_write_bytes,
    create_private,
    is_out_of_space,
    make_folder,
    sha256_of,
)
from engine.plural import counted
from storage.backup import copy_database
from storage.files import HomeFolder
from storage.transfer import check_empty, copy_library

FORMAT: Final = 1
"""Version of the list; a backup of another version is refused."""

LIST_NAME: Final = "longwatch-backup.json"


def back_up(context: ServiceContext, folder: Path) -> MessageResponse:
    """Copy the library into a folder while it is in use; what lies there already stays.

    Raises:
        InputRefusedError: The folder lies inside the home folder.
        DiskFullError: No space; an earlier backup in this folder stays whole.
    """
    home = HomeFolder(context.settings.home)
    rows = context.catalog.videos.list()
    if folder.resolve().is_relative_to(home.path.resolve()):
        raise InputRefusedError(
            f"{folder} lies inside the library", hint="choose a folder outside, on another disk"
        )
    try:
        make_folder(folder, private=True)
        # The database first: a row whose files are missing could not be mended.
        snapshot = folder / f".{home.database.name}"
        _copy_rows(context.settings, snapshot)
        files = {home.database.name: _keep(folder, snapshot)}
        snapshot.unlink()
        for path in _files(home):
            # A file may be removed after it was listed.
            with suppress(FileNotFoundError):
                files[path.relative_to(home.path).as_posix()] = _keep(folder, path)
        listed = {
            "format": FORMAT,
            "created_at": datetime.now(UTC).isoformat(),
            "home": str(home.path.resolve()),
            "files": files,
        }
        atomic_write_bytes(folder / LIST_NAME, json.dumps(listed, indent=1).encode(), private=True)
        _remove_unlisted(folder, files)
    except OSError as error:
        raise _translated(error, folder) from error
    n_bytes = sum(file["bytes"] for file in files.values())
    n_outside = sum(not home.contains(row.uri) for row in rows)
    n_in_store = n_away(context, files)
    left_out = [
        f"originals outside the library, of {counted(n_outside, 'video')}" if n_outside else "",
        f"{counted(n_in_store, 'file')} in the object store alone" if n_in_store else "",
    ]
    what = " and ".join(filter(None, left_out))
    return MessageResponse(
        message=f"{folder} holds {counted(len(rows), 'video')} in {counted(len(files), 'file')}, "
        f"{n_bytes / 1e6:.1f} MB{what and f'; not in it: {what}'}"
    )


def restore(settings: Settings, folder: Path) -> MessageResponse:
    """Copy a backup into an empty home folder, every file verified.

    Raises:
        NotFoundError: There is no backup in the folder.
        InputRefusedError: The home folder or the server's database is not empty, or a file of the
            backup is damaged.
    """
    home = HomeFolder(settings.home)
    listed = _read_list(folder)
    if home.path.exists() and any(home.path.iterdir()):
        raise InputRefusedError(
            f"{home.path} is not empty", hint="name an empty folder with --home"
        )
    if settings.database_url is not None:
        check_empty(settings.catalog_url)
    files: Mapping[str, Mapping[str, Any]] = listed["files"]
    try:
        # The database last: a home without it is one that was not restored to its end.
        for name in sorted(files, key=lambda name: name == home.database.name):
            _bring_back(folder, files[name], home.path / name)
    except OSError as error:
        raise _translated(error, home.path) from error
    _bring_back_rows(settings)
    n_videos = _follow_home(settings, Path(listed["home"]))
    return MessageResponse(
        message=f"{home.path} holds {counted(n_videos, 'video')} again; "
        "`longwatch videos reindex` verifies their chunks"
    )


def _copy_rows(settings: Settings, snapshot: Path) -> None:
    """Copy the database as it stands now into a file, whatever kind it is."""
    if settings.database_url is None:
        copy_database(HomeFolder(settings.home).database, snapshot)
        return
    snapshot.unlink(missing_ok=True)
    copy_library(settings.catalog_url, f"sqlite:///{snapshot}", is_in_use=True)


def _bring_back_rows(settings: Settings) -> None:
    """Move the rows of a restored file to the server that the settings name, if they name one."""
    file = HomeFolder(settings.home).database
    if settings.database_url is not None:
        copy_library(f"sqlite:///{file}", settings.catalog_url)
        file.unlink()


def _files(home: HomeFolder) -> Iterator[Path]:
    """Yield the files worth keeping, the database apart."""
    left_out = {home.uploads, home.index, home.thumbs, home.proxies, home.run}
    for path in sorted(home.path.rglob("*")):
        relative = path.relative_to(home.path)
        is_database = path.name.startswith(home.database.name)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if is_hidden or is_database or left_out & {*path.parents}:
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _keep(folder: Path, path: Path) -> dict[str, Any]:
    """Copy a file below its digest, unless it is there, and return its entry in the list."""
    digest = sha256_of(path)
    target = _content(folder, digest)
    if not target.exists():
        make_folder(target.parent, private=True)
        with atomic_write(target) as copy:
            _copy(path, copy)
            # A file that changed while it was copied is kept as what it is now.
            digest = sha256_of(copy)
        if digest != target.name:
            target = target.replace(_content(folder, digest, create=True))
    return {"sha256": digest, "bytes": target.stat().st_size}


def _content(folder: Path, digest: str, *, create: bool = False) -> Path:
    path = folder / "files" / digest[:2] / digest
    if create:
        make_folder(path.parent, private=True)
    return path


def _remove_unlisted(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Delete contents that the present list does not name."""
    listed = {file["sha256"] for file in files.values()}
    for path in (folder / "files").glob("*/*"):
        if path.name not in listed:
            path.unlink()


def _read_list(folder: Path) -> dict[str, Any]:
    path = folder / LIST_NAME
    try:
        listed: dict[str, Any] = json.loads(path.read_bytes())
        if listed["format"] != FORMAT:
            raise InputRefusedError(
                f"{path} has format {listed['format']}, this version reads {FORMAT}"
            )
    except FileNotFoundError as error:
        raise NotFoundError(f"no backup in {folder}", hint=f"it holds no {LIST_NAME}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefusedError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise _translated(error, folder) from error
    return listed


def _bring_back(folder: Path, entry: Mapping[str, Any], target: Path) -> None:
    content = _content(folder, entry["sha256"])
    make_folder(target.parent, private=True)
    with atomic_write(target) as copy:
        _copy(content, copy)
        if sha256_of(copy) != entry["sha256"]:
            raise InputRefusedError(f"{content} is damaged: it should become {target}")


def _follow_home(settings: Settings, before: Path) -> int:
    """Point the rows of uploaded originals to the new home; return how many videos there are."""
    context = ServiceContext(settings)
    try:
        rows = context.catalog.videos.list()
        for row in rows:
            if Path(row.uri).is_relative_to(before):
                moved = settings.home.resolve() / Path(row.uri).relative_to(before)
                context.catalog.videos.set_uri(row.id, str(moved))
        # Sent since, perhaps, by the library that this is a copy of.
        context.catalog.deliveries.mark_repeats()
    finally:
        context.close()
    return len(rows)


def _copy(source: Path, target: Path) -> None:
    """Copy a file for its owner alone: a library holds pictures, questions and password hashes."""
    create_private(target)
    shutil.copyfile(source, target)


def _translated(error: OSError, folder: Path) -> UnreachableError:
    if is_out_of_space(error):
        return DiskFullError(f"no space left for {error.filename or folder}")
    return UnreachableError(f"{error.filename or folder}: {error.strerror}")
