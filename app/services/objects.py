"""The object store of a library: what is put there, what leaves it, and whether it is whole."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.objects import (
    ObjectsPushResponse,
    ObjectsStatusResponse,
    ObjectsVerifyResponse,
    ObjectTreeItem,
)
from app.services.background import repeating
from app.services.context import ServiceContext
from app.services.ingest_jobs import enqueue_ingest
from engine.errors import SettingsError, UnreachableError
from engine.files import atomic_write_bytes, sha256_of
from storage.files import HomeFolder
from storage.object_records import ObjectRow
from storage.records import VideoRow

if TYPE_CHECKING:
    from app.services.home_objects import HomeObjects

SETTLE_EVERY_S: Final = 5.0
"""Pause between two looks for postponed files of cameras, and for objects that have to leave."""
GONE_DAYS: Final = 30
"""Days that a machine may be off and still hear of what was deleted meanwhile."""
REPLACED: Final = frozenset({".json", ".zip", ".safetensors"})
"""Endings of files that their writer may write again."""
MOST_NAMED: Final = 20


def require_objects(context: ServiceContext) -> "HomeObjects":
    """Return the object store of a library.

    Raises:
        SettingsError: None is configured.
    """
    objects = context.objects
    if objects is None:
        raise SettingsError(
            "no object store is configured", hint="set objects.url, as s3://bucket/prefix"
        )
    return objects


def publish_video(context: ServiceContext, video: VideoRow) -> int:
    """Put what is here of a video and not in the store there; return how many files that were.

    Raises:
        UnreachableError: The store is away; what was put there stays there.
    """
    objects = context.objects
    if objects is None:
        return 0
    return sum(_put(objects, path) for path in _unpublished(context, objects, video))


def push(context: ServiceContext, progress: ProgressCallback = no_progress) -> ObjectsPushResponse:
    """Put every file of the library that is not in the store there; interrupted, it goes on.

    Raises:
        UnreachableError: The store is away; what was put there stays there.
    """
    objects = require_objects(context)
    objects.store.check()
    waiting = list(_all_unpublished(context, objects))
    n_bytes, done_bytes, n_pushed = sum(map(_size, waiting)), 0, 0
    for path in waiting:
        size = _size(path)
        n_pushed += _put(objects, path)
        done_bytes += size
        progress(ProgressUpdate(what="objects", done=done_bytes, total=n_bytes, note=path.name))
    totals = objects.rows.totals()
    return ObjectsPushResponse(
        url=objects.store.where,
        pushed=n_pushed,
        pushed_bytes=done_bytes,
        objects=sum(total.n_objects for total in totals),
        object_bytes=sum(total.n_bytes for total in totals),
    )


def show_status(context: ServiceContext) -> ObjectsStatusResponse:
    """Return what lies in the store, what does not yet, and whether it answers."""
    objects = require_objects(context)
    try:
        objects.store.check()
        trouble = None
    except UnreachableError as error:
        trouble = error.message if error.hint is None else f"{error.message}; {error.hint}"
    waiting = list(_all_unpublished(context, objects))
    return ObjectsStatusResponse(
        url=objects.store.where,
        trouble=trouble,
        trees=[
            ObjectTreeItem(tree=total.tree, objects=total.n_objects, bytes=total.n_bytes)
            for total in objects.rows.totals()
        ],
        not_stored=len(waiting),
        not_stored_bytes=sum(map(_size, waiting)),
        leaving=objects.rows.n_leaving(),
        cache_bytes=int(context.settings.objects.cache_bytes),
    )


def verify(
    context: ServiceContext,
    *,
    digests: bool = False,
    mend: bool = False,
    progress: ProgressCallback = no_progress,
) -> ObjectsVerifyResponse:
    """Compare the store with the list of what was put there.

    Args:
        digests: Whether every byte is read; else presence and length are compared.
        mend: Whether what is missing or damaged there and whole here is put there again.
    Raises:
        UnreachableError: The store does not answer.
    """
    objects = require_objects(context)
    there = dict(objects.store.list())
    n_objects = sum(total.n_objects for total in objects.rows.totals())
    missing: list[str] = []
    damaged: list[str] = []
    n_checked = n_bytes = n_mended = 0
    for row in _kept(objects):
        size = there.pop(row.key, None)
        n_checked, n_bytes = n_checked + 1, n_bytes + row.n_bytes
        is_whole = size == row.n_bytes and (not digests or _has_digest(objects, row))
        if not is_whole and mend and _mend(context, objects, row):
            n_mended += 1
        elif not is_whole:
            (missing if size is None else damaged).append(row.key)
        progress(ProgressUpdate(what="objects", done=n_checked, total=n_objects, note=row.key))
    return ObjectsVerifyResponse(
        url=objects.store.where,
        checked=n_checked,
        checked_bytes=n_bytes,
        with_digests=digests,
        missing=missing[:MOST_NAMED],
        damaged=damaged[:MOST_NAMED],
        n_missing=len(missing),
        n_damaged=len(damaged),
        mended=n_mended,
        unlisted=len(there),
    )


def remove_video_objects(
    context: ServiceContext, video: VideoRow, recorded: Iterable[Path]
) -> None:
    """Delete the recording of a video, and have what is not the engine's leave the store."""
    objects, home = context.objects, HomeFolder(context.settings.home)
    drop_recordings(context, recorded)
    if objects is None:
        return
    for folder in objects.folders(home.vectors, video.id):
        objects.drop_folder(folder)
    original = home.local(video.uri)
    if original.parent == home.media:
        objects.drop(original)
    objects.drop(home.proxy(video.id))


def drop_recordings(context: ServiceContext, paths: Iterable[Path]) -> None:
    """Delete files of a recording, with their layouts, here and in the store."""
    # Late: of use only where something was recorded.
    from engine.media.kept_layout import layout_path

    both = [file for path in paths for file in (path, layout_path(path))]
    if context.objects is not None:
        context.objects.drop_all(both)
    for file in both:
        file.unlink(missing_ok=True)


def settle(context: ServiceContext) -> None:
    """Put postponed files into the store, delete what has to leave it, and let ingests go on.

    Copies here of what has left the store are deleted too.

    Raises:
        UnreachableError: The store is away, or the database.
    """
    objects = context.objects
    if objects is None:
        return
    if objects.is_doubtful:
        objects.store.check()
        objects.forget_trouble()
    for path in sorted(objects.postponed):
        if not path.exists():
            objects.postponed.discard(path)
            continue
        _put(objects, path)
        if path in objects.postponed:
            return
    objects.pay_debts()
    objects.sweep()
    objects.rows.forget_gone(datetime.now(UTC) - timedelta(days=GONE_DAYS))
    for row in context.catalog.videos.list("failed"):
        failure = row.failure
        if failure is not None and failure.message.startswith(objects.store.where):
            # Its reading was given up because the store was away, which it is no more.
            objects.store.check()
            enqueue_ingest(context, row)


@contextmanager
def objects_loop(context: ServiceContext) -> Iterator[None]:
    """Keep the object store up to date while the body runs; nothing happens without one."""
    if context.settings.objects.url is None:
        yield
        return
    is_first = True

    def look() -> None:
        nonlocal is_first
        objects = context.objects
        if is_first and objects is not None:
            # What an earlier process has put off, or left when it was killed.
            objects.is_watched = True
            objects.postponed.update(_all_unpublished(context, objects))
            is_first = False
        settle(context)

    trouble = "the object store is behind"
    with repeating(look, name="objects", every_s=SETTLE_EVERY_S, trouble=trouble):
        yield


def _all_unpublished(context: ServiceContext, objects: "HomeObjects") -> Iterator[Path]:
    """Yield the files here that belong to the library and are not in the store."""
    for video in context.catalog.videos.list():
        yield from _unpublished(context, objects, video)
    home = HomeFolder(context.settings.home)
    cameras = context.catalog.cameras.list()
    described = {home.camera_file(camera.id) for camera in cameras}
    yield from (path for path in objects.unpublished(home.cameras) if path in described)
    for camera in cameras:
        written = {row.name for row in context.catalog.segments.list(camera.id) if not row.is_open}
        paths = objects.unpublished(home.recordings / camera.id)
        yield from (path for path in paths if path.name in written)


def _unpublished(
    context: ServiceContext, objects: "HomeObjects", video: VideoRow
) -> Iterator[Path]:
    """Yield the files of a video that are not in the store: those that a chunk needs come first."""
    home = HomeFolder(context.settings.home)
    original = home.local(video.uri)
    singles = [home.proxy(video.id)]
    if original.parent == home.media:
        singles.append(original)
    yield from (path for path in singles if path.is_file() and not objects.is_stored(path))
    folders = [home.still_chunks / video.id]
    if video.fingerprint is not None:
        folders.append(home.latents / video.fingerprint / video.id)
    folders += home.vectors.glob(f"*/{video.id}")
    for folder in folders:
        yield from objects.unpublished(folder)


def _put(objects: "HomeObjects", path: Path) -> bool:
    try:
        if path.suffix == ".mp4" and path.parent.parent.name == "recordings":
            # Before the file, so that whoever finds that plays it without reading all of it.
            _publish_layout(objects, path)
        objects.publish(path, replaces=path.suffix in REPLACED and "latents" not in path.parts)
    except FileNotFoundError:
        # Deleted since it was listed.
        return False
    return path not in objects.postponed


def _publish_layout(objects: "HomeObjects", path: Path) -> None:
    # Late: of use only where something was recorded.
    from engine.media.fragments import read_layout
    from engine.media.kept_layout import layout_path, pack_layout

    target = layout_path(path)
    if not target.exists():
        with suppress(ValueError):
            atomic_write_bytes(target, pack_layout(read_layout(path)), private=True)
    if target.exists():
        objects.publish(target, replaces=True)


def _has_digest(objects: "HomeObjects", row: ObjectRow) -> bool:
    there = objects.store.examine(row.key)
    return there is not None and there.sha256 == row.sha256


def n_away(context: ServiceContext, here: Collection[str]) -> int:
    """Count what the object store keeps and a set of keys lacks; 0 without a store."""
    objects = context.objects
    return 0 if objects is None else sum(row.key not in here for row in _kept(objects))


def _mend(context: ServiceContext, objects: "HomeObjects", row: ObjectRow) -> bool:
    """Put an object there again from the copy here, if that is whole."""
    path = HomeFolder(context.settings.home).at_key(row.key)
    if not path.is_file() or sha256_of(path) != row.sha256:
        return False
    return objects.store.put(row.key, path, row.sha256, replaces=True)


def _kept(objects: "HomeObjects") -> Iterator[ObjectRow]:
    behind = ""
    while rows := objects.rows.kept(behind=behind):
        yield from rows
        behind = rows[-1].key


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
