"""Limits of cameras, kept while they film: recordings, stills and latents each by days and bytes.

The oldest goes first. A part that is being read is never deleted; of its recording and stills the
oldest are. Whoever sets a limit of a camera names what may be deleted, so nothing waits to be
confirmed.
"""

import logging
import threading
from datetime import datetime, timedelta

from app.services.context import ServiceContext
from app.services.library import remove_video
from app.services.objects import drop_recordings
from app.services.timelines import parts_of
from storage.camera_records import CameraRow, SegmentRow
from storage.files import HomeFolder
from storage.records import VideoRow

_log = logging.getLogger(__name__)
_turn = threading.Lock()
"""One camera after another: deleting is disk work, and two at once gain nothing."""


def keep_within_limits(context: ServiceContext, camera: CameraRow, now: datetime) -> int:
    """Delete what is beyond the limits of a camera.

    Returns:
        Files of recordings and parts that were deleted.
    """
    # As it is now: a limit may have been set while the camera films.
    camera = context.catalog.cameras.get(camera.id)
    with _turn:
        n_files = _expire_segments(context, camera, now)
        parts = parts_of(context, camera)
        n_parts = _expire_parts(context, camera, parts, now)
        _expire_stills(context, camera, parts, now)
    if n_files or n_parts:
        _log.info(
            "camera %s: %d files, %d parts deleted by age or size", camera.id, n_files, n_parts
        )
    return n_files + n_parts


def _expire_segments(context: ServiceContext, camera: CameraRow, now: datetime) -> int:
    limits = camera.retention
    if limits.segment_days is None and limits.segment_bytes is None:
        return 0
    rows = [row for row in context.catalog.segments.list(camera.id) if not row.is_open]
    left_bytes = sum(row.n_bytes for row in rows)
    gone: list[SegmentRow] = []
    for row in rows:
        is_old = limits.segment_days is not None and row.end_at < now - timedelta(
            days=limits.segment_days
        )
        is_much = limits.segment_bytes is not None and left_bytes > limits.segment_bytes
        if not is_old and not is_much:
            break
        gone.append(row)
        left_bytes -= row.n_bytes
    home = HomeFolder(context.settings.home)
    paths = [home.recording(camera.id, row.name) for row in gone]
    drop_recordings(context, paths)
    context.catalog.segments.remove(camera.id, [row.name for row in gone])
    return len(gone)


def _expire_parts(
    context: ServiceContext, camera: CameraRow, parts: tuple[VideoRow, ...], now: datetime
) -> int:
    limits = camera.retention
    left_bytes = sum(part.latent_bytes for part in parts)
    n_gone = 0
    for part in parts:
        end_at = part.at(part.ingested_s) or part.updated_at
        is_old = limits.latent_days is not None and end_at < now - timedelta(
            days=limits.latent_days
        )
        is_much = limits.latent_bytes is not None and left_bytes > limits.latent_bytes
        if part.status in {"ingesting", "queued"} or not (is_old or is_much):
            break
        remove_video(context, part, keeps_recording=True)
        left_bytes -= part.latent_bytes
        n_gone += 1
    return n_gone


def _expire_stills(
    context: ServiceContext, camera: CameraRow, parts: tuple[VideoRow, ...], now: datetime
) -> None:
    limits = camera.retention
    if limits.still_days is None and limits.still_bytes is None:
        return
    before = None if limits.still_days is None else now - timedelta(days=limits.still_days)
    context.stills.expire(
        before=before, limit_bytes=limits.still_bytes, among=[part.id for part in parts]
    )
