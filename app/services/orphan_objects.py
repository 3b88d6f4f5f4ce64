"""Objects of a store that nothing in the library owns: counted, and deleted when asked for.

Decision: only what has lain there for a day is deleted, and its owner is looked for once more right
before. Because a writer puts an object first and its row behind, and a video may come back.
Decision: nothing is deleted while the store describes a video or camera that has no row. Because
that is a database that was lost, is older, or is another library's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.objects import ObjectsCleanResponse
from app.services.context import ServiceContext
from app.services.objects import MOST_NAMED, require_objects
from engine.errors import InputRefusedError
from engine.plural import counted
from storage.files import SIDECAR, HomeFolder
from storage.object_records import ObjectState, StoredObject

if TYPE_CHECKING:
    from app.services.home_objects import HomeObjects

GRACE: Final = timedelta(hours=24)
"""Age below which nothing is deleted."""
_AT_A_TIME: Final = 500
_FOLDERS: Final[Mapping[str, int]] = {
    "latents": 2,
    "stills": 1,
    "vectors": 2,
    "media": 0,
    "recordings": 1,
    "proxies": 0,
    "cameras": 0,
}
"""Folders between the tree and the name of a file (`storage/files.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Videos and cameras that the store describes."""

    videos: frozenset[str]
    cameras: frozenset[str]

    def without_row(self, context: ServiceContext) -> "Described":
        """Return those that have no row: `longwatch videos reindex` brings them back."""
        return Described(
            videos=self.videos - _video_ids(context), cameras=self.cameras - _camera_ids(context)
        )


def described_by(keys: Iterable[str]) -> Described:
    """Return what some objects describe."""
    described = [(key.split("/"), key) for key in keys if key.endswith(".json")]
    return Described(
        videos=frozenset(
            parts[-2] for parts, _ in described if parts[0] == "latents" and parts[-1] == SIDECAR
        ),
        cameras=frozenset(Path(key).stem for parts, key in described if parts[0] == "cameras"),
    )


def is_ours(key: str) -> bool:
    """Return whether a key is one of a library's file."""
    parts = key.split("/")
    n_folders = _FOLDERS.get(parts[0])
    return len(parts) - 2 == n_folders and not any(part[:1] in {"", "."} for part in parts)


def ownerless(context: ServiceContext, keys: Iterable[str], lost: Described) -> list[str]:
    """Return the objects of which no row, and nothing that can come back, is the owner.

    Args:
        lost: What can come back; nobody knows then to which of it an upload belongs.
    """
    home, videos = HomeFolder(context.settings.home), context.catalog.videos
    owners = _video_ids(context) | _camera_ids(context) | lost.videos | lost.cameras
    owners |= {home.local(row.uri).stem for row in videos.by_id().values()}
    owners |= {row.id for row in context.catalog.uploads.list()}
    return [
        key
        for key in keys
        if _owner(key) not in owners and not (lost.videos and key.startswith("media/"))
    ]


def clean(
    context: ServiceContext,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    progress: ProgressCallback = no_progress,
) -> ObjectsCleanResponse:
    """Delete objects of the library that nothing owns; interrupted, it goes on.

    Args:
        grace: What was written since is left alone.
        dry_run: Whether nothing is deleted.
    Raises:
        InputRefusedError: The store describes videos or cameras that have no row.
        UnreachableError: The store does not answer; what was deleted is gone.
    """
    if not dry_run:
        context.catalog.check_writable()
    objects = require_objects(context)
    there = {stored.key: stored for stored in objects.store.list_stored()}
    ours = [key for key in sorted(there) if is_ours(key)]
    states = _states(objects, ours)
    lost = described_by(key for key in ours if states.get(key, "kept") == "kept")
    lost = lost.without_row(context)
    _refuse_lost(objects, lost)
    # What has to leave is deleted by whoever keeps the store abreast.
    wanted = [key for key in ours if states.get(key) != "leaving"]
    orphans = [there[key] for key in ownerless(context, wanted, lost)]
    until = datetime.now(UTC) - grace
    old = [stored for stored in orphans if stored.put_at <= until]
    gone = old
    if not dry_run:
        gone = []
        for start in range(0, len(old), _AT_A_TIME):
            gone += _delete(context, objects, old[start : start + _AT_A_TIME], lost)
            progress(ProgressUpdate(what="objects", done=len(gone), total=len(old)))
    return ObjectsCleanResponse(
        url=objects.store.where,
        dry_run=dry_run,
        deleted=len(gone),
        deleted_bytes=sum(stored.n_bytes for stored in gone),
        keys=[stored.key for stored in gone[:MOST_NAMED]],
        too_young=len(orphans) - len(old),
        foreign=len(there) - len(ours),
    )


def _delete(
    context: ServiceContext, objects: "HomeObjects", old: list[StoredObject], lost: Described
) -> list[StoredObject]:
    """Delete some objects, but for those that have an owner by now; return what is gone."""
    keys = set(ownerless(context, (stored.key for stored in old), lost))
    # First the list: a machine that has a copy must not take the object for there.
    objects.rows.leave(keys)
    objects.store.delete(keys)
    objects.rows.have_left(keys)
    return [stored for stored in old if stored.key in keys]


def _refuse_lost(objects: "HomeObjects", lost: Described) -> None:
    if not lost.videos and not lost.cameras:
        return
    which = " and ".join(
        counted(len(ids), noun)
        for ids, noun in ((lost.videos, "video"), (lost.cameras, "camera"))
        if ids
    )
    raise InputRefusedError(
        f"{objects.store.where} describes {which} that this database does not know, so what is "
        "of nobody there cannot be told",
        hint="`longwatch objects adopt` and `longwatch videos reindex` bring them back; "
        "what is not wanted of them can be removed then",
    )


def _states(objects: "HomeObjects", keys: Collection[str]) -> dict[str, ObjectState]:
    some, states = list(keys), dict[str, ObjectState]()
    for start in range(0, len(some), _AT_A_TIME):
        rows = objects.rows.of_keys(some[start : start + _AT_A_TIME])
        states |= {key: row.state for key, row in rows.items()}
    return states


def _video_ids(context: ServiceContext) -> frozenset[str]:
    return frozenset(context.catalog.videos.by_id())


def _camera_ids(context: ServiceContext) -> frozenset[str]:
    return frozenset(row.id for row in context.catalog.cameras.list())


def _owner(key: str) -> str:
    """Return the video, camera or upload that a key names."""
    *folders, name = key.split("/")
    return folders[-1] if len(folders) > 1 else Path(name).stem
