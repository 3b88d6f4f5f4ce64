"""Jobs that film cameras: one for each camera that is switched on, for as long as it is."""

import re
from typing import Final

from app.services.context import ServiceContext
from storage.camera_records import CameraRow
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


def shown_worker(job: JobRow | None) -> str | None:
    """Return the worker that has a job as people read it: machine and process."""
    if job is None or job.worker is None:
        return None
    # Between the two stands the number of the container, which nobody looks for.
    return re.sub(r"/[\w.-]+(?=:\d+$)", "", job.worker)


def is_filmed(context: ServiceContext, job: JobRow | None) -> bool:
    """Return whether a worker has a camera's job in hand; one that was killed has not for long."""
    return job is not None and job.state == "running" and not context.catalog.jobs.is_silent(job)
