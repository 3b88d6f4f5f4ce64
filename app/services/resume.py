"""Resuming of an ingest: rows are brought up to date with the latent files that are there."""

from typing import Final

from app.services.context import ServiceContext
from engine.pipeline.resume import ResumePoint, resume_points, stored_chunks
from storage.records import JobRow, VideoRow

INTERRUPTED: Final = frozenset({"queued", "ingesting", "cancelled"})
"""Statuses of a video whose ingest was interrupted; with any other, an ingest is a repair."""


def bring_rows_up(
    context: ServiceContext, video: VideoRow, *, is_resumed: bool, holder: JobRow | None = None
) -> tuple[ResumePoint, ...]:
    """Bring the rows of a video up to its files; return what is left to read.

    Args:
        is_resumed: Whether an interrupted ingest goes on, rather than a repair: files that are as
            long as their rows say are then not opened.
        holder: The job that reads it, as it was claimed.
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
