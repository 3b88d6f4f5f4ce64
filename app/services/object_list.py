"""The list of an object store made again from the store: its database was lost, or is older."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.objects import ObjectsAdoptResponse
from app.services.context import ServiceContext
from app.services.objects import MOST_NAMED, REPLACED, require_objects
from app.services.orphan_objects import described_by, is_ours, ownerless
from engine.errors import NotFoundError
from engine.files import sha256_of
from storage.files import SIDECAR, HomeFolder
from storage.object_records import ObjectRow

if TYPE_CHECKING:
    from app.services.home_objects import HomeObjects

_AT_A_TIME: Final = 100
"""Objects between two notes in the database: what a kill makes read again."""


def adopt(
    context: ServiceContext, progress: ProgressCallback = no_progress
) -> ObjectsAdoptResponse:
    """Take up into the list what lies in the store and is in no list; interrupted, it goes on.

    What the list says was deleted stays out of it, and what is nothing of a library.

    Raises:
        UnreachableError: The store does not answer, or the database; what was taken up stays.
    Cost: reads every byte of what the list does not name.
    """
    context.catalog.check_writable()
    objects = require_objects(context)
    there = dict(objects.store.list())
    ours = [key for key in sorted(there) if is_ours(key)]
    outcome = _Found()
    for start in range(0, len(ours), _AT_A_TIME):
        keys = ours[start : start + _AT_A_TIME]
        _take_up(context, objects, {key: there[key] for key in keys}, outcome)
        done = start + len(keys)
        progress(ProgressUpdate(what="objects", done=done, total=len(ours), note=keys[-1]))
    lost = described_by(_kept_descriptions(objects)).without_row(context)
    return ObjectsAdoptResponse(
        url=objects.store.where,
        adopted=outcome.n_new,
        adopted_bytes=outcome.new_bytes,
        renewed=outcome.n_renewed,
        damaged=outcome.damaged[:MOST_NAMED],
        n_damaged=len(outcome.damaged),
        deleted=outcome.n_deleted,
        foreign=len(there) - len(ours),
        lost_videos=sorted(lost.videos)[:MOST_NAMED],
        n_lost_videos=len(lost.videos),
        ownerless=len(ownerless(context, ours, lost)),
    )


@dataclass(slots=True)
class _Found:
    """What became of the objects that were looked at."""

    n_new: int = 0
    new_bytes: int = 0
    n_renewed: int = 0
    n_deleted: int = 0
    damaged: list[str] = field(default_factory=list)


def _take_up(
    context: ServiceContext, objects: "HomeObjects", sizes: dict[str, int], outcome: _Found
) -> None:
    """Note some objects of the store in the list, by their bytes."""
    rows = objects.rows.of_keys(sizes)
    new, renewed = [], []
    for key, size in sizes.items():
        listed = rows.get(key)
        if listed is not None and listed.state != "kept":
            outcome.n_deleted += 1
            continue
        if listed is not None and not _may_be_newer(listed, size):
            continue
        try:
            row = objects.store.examine(key)
        except NotFoundError:
            # Deleted since the store was listed.
            continue
        if row is None:
            outcome.damaged.append(key)
        elif listed is None:
            new.append(_as_here(context, row))
        elif listed.sha256 != row.sha256:
            renewed.append(_as_here(context, row))
    outcome.n_new += objects.rows.adopt(new)
    outcome.new_bytes += sum(row.n_bytes for row in new)
    objects.rows.keep(renewed)
    outcome.n_renewed += len(renewed)


def _may_be_newer(listed: ObjectRow, size: int) -> bool:
    """Return whether an object may have been replaced since its row was written.

    What is said of a video or a camera is small, and may change without its length.
    """
    suffix = Path(listed.key).suffix
    is_replaced = suffix in REPLACED and suffix != ".safetensors"
    return is_replaced and (size != listed.n_bytes or suffix == ".json")


def _as_here(context: ServiceContext, row: ObjectRow) -> ObjectRow:
    """Return the row of an object with the time of the same file here: a copy of it, then."""
    path = HomeFolder(context.settings.home).at_key(row.key)
    with suppress(OSError):
        if path.is_file() and sha256_of(path) == row.sha256:
            return replace(row, written_ns=path.stat().st_mtime_ns)
    return row


def _kept_descriptions(objects: "HomeObjects") -> Iterator[str]:
    """Yield the keys of what the store says of videos and cameras."""
    yield from objects.rows.named("latents", SIDECAR)
    yield from (row.key for row in objects.rows.of_folder("cameras") if row.state == "kept")
