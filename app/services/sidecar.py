"""The row of a video, kept beside its latents so that the loss of the database loses no video."""

import logging
from collections.abc import Collection
from dataclasses import replace

from app.services.context import ServiceContext
from engine.errors import CorruptFileError
from engine.media.address import redact
from engine.records import VideoId
from storage.files import SIDECAR, HomeFolder
from storage.records import VideoRow, VideoStatus
from storage.sidecar import read_sidecars, write_sidecar

_log = logging.getLogger(__name__)


def save_sidecar(context: ServiceContext, row: VideoRow) -> None:
    """Write the row of a video beside its latents; nothing happens before it was read.

    Raises:
        UnreachableError: The folder cannot be written to, or the disk is full.
    """
    if row.fingerprint is None:
        return
    shown = replace(row, uri=redact(row.uri))
    if row.media is not None:
        shown = replace(shown, media=replace(row.media, uri=shown.uri))
    home = HomeFolder(context.settings.home)
    write_sidecar(home, shown)
    context.far.publish(home.sidecar(row.fingerprint, row.id), replaces=True)


def restore_rows(context: ServiceContext) -> tuple[VideoRow, ...]:
    """Add the rows of videos whose latents are here, or in the store, and whose rows are lost."""
    videos, home = context.catalog.videos, HomeFolder(context.settings.home)
    known: set[VideoId] = {row.id for row in videos.list()}
    _bring_sidecars(context, home, known)
    return tuple(
        videos.restore(replace(row, status=_status(row)))
        for row in read_sidecars(home)
        if row.id not in known
    )


def _bring_sidecars(context: ServiceContext, home: HomeFolder, known: Collection[VideoId]) -> None:
    """Have here what the object store says of videos without a row."""
    objects = context.objects
    for key in () if objects is None else objects.rows.named(home.latents.name, SIDECAR):
        path = home.at_key(key)
        if VideoId(path.parent.name) in known:
            continue
        try:
            context.far.bring(path)
        except CorruptFileError as error:
            _log.warning("%s is passed over: %s", key, error)


def _status(row: VideoRow) -> VideoStatus:
    """Return the status of a restored row: the job that was reading it is lost too."""
    return "cancelled" if row.status in {"queued", "ingesting"} else row.status
