"""Files of the home folder that nothing in the database owns: found and shown, never deleted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.services.context import ServiceContext
from storage.files import HomeFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A file or folder without an owner."""

    path: Path
    n_bytes: int


def find_orphans(context: ServiceContext) -> tuple[Orphan, ...]:
    """Return uploads, parts of uploads, latents and stills that no row owns, sorted."""
    home = HomeFolder(context.settings.home)
    uploads = context.catalog.uploads.list()
    videos = [*context.catalog.videos.list(), *context.catalog.videos.list("removing")]
    owned = {home.local(video.uri) for video in videos}
    for upload in uploads:
        owned.add(home.upload_part(upload.id))
        if upload.video is None:
            owned.add(home.original(upload.id))
    ids = {video.id for video in videos}
    files = [path for path in (*home.originals(), *home.upload_parts()) if path not in owned]
    kept = (*home.readings(), *(home.still_chunks / video for video in context.stills.videos()))
    folders = [folder for folder in kept if folder.name not in ids]
    return tuple(
        Orphan(path=path, n_bytes=sum(_sizes(path))) for path in sorted([*files, *folders])
    )


def _sizes(path: Path) -> Iterator[int]:
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file():
            yield file.stat().st_size
