"""The queue of readings: a job for each video that waits to be read."""

from typing import Final

from app.services.context import ServiceContext
from storage.records import JobRow, VideoRow

KIND: Final = "ingest"


def enqueue_ingest(context: ServiceContext, video: VideoRow) -> JobRow:
    """Queue the reading of a video; a job that waits or runs already is returned."""
    for job in context.catalog.jobs.list("queued", "running", video=video.id):
        if job.kind == KIND:
            return job
    return context.catalog.jobs.add(KIND, {}, video=video.id, stream=video.id)
