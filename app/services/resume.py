"""The start of an ingest that goes on: rows brought up to the files that are there."""

from typing import Final

from app.services.context import ServiceContext
from engine.pipeline.resume import ResumePoint, resume_points, stored_chunks
from storage.records import JobRow, VideoRow

INTERRUPTED: Final = frozenset({"queued", "ingesting", "cancelled"})
"""Statuses of a video whose reading goes on; of others it is mended."""


def bring_rows_up(
    context: ServiceContext, video: VideoRow, *, is_resumed: bool, holder: JobRow | None = None
) -> tuple[ResumePoint, ...]:
    """Bring the rows of a video up to its files; return what is left to read.

    Args:
        is_resumed: Whether its ingest was interrupted, and nobody wants it to be mended: files
            that are as long as their rows say are not opened then.
        holder: The job that it is read for.
    Raises:
        LeaseLostError: Another worker has that job by now.
    """
    engine, chunks = context.engine, context.catalog.chunks
    rows = chunks.file_bytes(video.id, engine.fingerprint)
    known = rows if is_resumed else {}
    points = resume_points(engine, video.id, known)
    if is_resumed:
        added = tuple(stored_chunks(engine, video.id, known))
        gone = rows.keys() - engine.cache.ordinals(video.id)
        chunks.bring_up(video.id, engine.fingerprint, added, gone, holder=holder)
    else:
        stored = tuple(stored_chunks(engine, video.id))
        chunks.replace(video.id, engine.fingerprint, stored, holder=holder)
    return points
