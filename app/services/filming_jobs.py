"""Jobs that film cameras: one for each camera that is switched on, for as long as it is."""

from typing import Final

from app.services.context import ServiceContext
from storage.camera_records import CameraRow
from storage.catalog import utc_now
from storage.records import CameraId, JobRow

KIND: Final = "film"


def enqueue_filming(context: ServiceContext, camera: CameraRow) -> JobRow | None:
    """Queue the filming of a camera that is switched on; a job that is there is returned."""
    if not camera.enabled:
        return None
    known = filming_jobs(context).get(camera.id)
    if known is not None:
        return known
    return context.catalog.jobs.add(KIND, {"camera": camera.id}, stream=f"{KIND}/{camera.id}")


def enqueue_all_filming(context: ServiceContext) -> None:
    """Queue the filming of every camera that nobody films."""
    for camera in context.catalog.cameras.list():
        enqueue_filming(context, camera)


def filming_jobs(context: ServiceContext) -> dict[CameraId, JobRow]:
    """Return the job of every camera that is filmed or waits for it."""
    jobs = context.catalog.jobs.list("queued", "running")
    return {CameraId(job.payload["camera"]): job for job in jobs if job.kind == KIND}


def is_filmed(job: JobRow | None) -> bool:
    """Return whether a worker has a camera's job in hand; one that was killed has not for long."""
    if job is None or job.state != "running":
        return False
    return job.lease_until is None or job.lease_until > utc_now()
