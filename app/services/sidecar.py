"""The row of a video, kept beside its latents so that the loss of the database loses no video."""

from dataclasses import replace

from app.services.context import ServiceContext
from engine.media.address import redact
from engine.records import VideoId
from storage.files import HomeFolder
from storage.records import VideoRow, VideoStatus
from storage.sidecar import read_sidecars, write_sidecar


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
    write_sidecar(HomeFolder(context.settings.home), shown)


def restore_rows(context: ServiceContext) -> tuple[VideoRow, ...]:
    """Add the rows of videos whose latents are here and whose rows are lost."""
    videos = context.catalog.videos
    known: set[VideoId] = {row.id for row in videos.list()}
    return tuple(
        videos.restore(replace(row, status=_status(row)))
        for row in read_sidecars(HomeFolder(context.settings.home))
        if row.id not in known
    )


def _status(row: VideoRow) -> VideoStatus:
    """Return the status of a restored row: the job that was reading it is lost too."""
    return "cancelled" if row.status in {"queued", "ingesting"} else row.status
