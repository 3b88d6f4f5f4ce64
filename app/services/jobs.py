"""Jobs as people see them: which there are, stopped, tried again."""

from typing import Final

from app.schemas.jobs import JobItem
from app.services.access import FULL_ACCESS, Access, visible_text
from app.services.context import ServiceContext
from app.services.filming_jobs import shown_worker
from app.services.ingest_jobs import KIND as INGEST
from engine.errors import NotFoundError
from engine.records import VideoId
from storage.records import JobId, JobRow

MAX_LISTED: Final = 200


def list_jobs(context: ServiceContext, access: Access) -> list[JobItem]:
    """Return the latest jobs, as far as they are about videos that someone may see."""
    jobs = [job for job in context.catalog.jobs.list() if _may_see(access, job)]
    return [describe_job(context, job, access) for job in jobs[:MAX_LISTED]]


def cancel_job(context: ServiceContext, job_id: int) -> JobItem:
    """Stop a job; what is committed stays.

    Raises:
        NotFoundError: No such job.
    """
    job = context.catalog.jobs.cancel(JobId(job_id))
    # One that waited is over at once; one that runs tells of its end itself.
    if job.video is not None and job.kind == INGEST and job.state == "cancelled":
        context.catalog.videos.set_status(job.video, "cancelled")
    return describe_job(context, job)


def retry_job(context: ServiceContext, job_id: int) -> JobItem:
    """Queue a job once more; it goes on from the last committed chunk.

    Raises:
        NotFoundError: No such job.
    """
    job = context.catalog.jobs.retry(JobId(job_id))
    if job.video is not None and job.kind == INGEST and job.state == "queued":
        context.catalog.videos.set_status(job.video, "queued")
    return describe_job(context, job)


def running_jobs(context: ServiceContext, kind: str = INGEST) -> dict[VideoId, JobRow]:
    """Return the job of a kind of every video for which it runs or waits."""
    jobs = context.catalog.jobs.list("queued", "running")
    return {job.video: job for job in jobs if job.video is not None and job.kind == kind}


def describe_job(context: ServiceContext, job: JobRow, access: Access = FULL_ACCESS) -> JobItem:
    """Return a job as its document, without paths for those who may not see them."""
    return JobItem(
        job_id=job.id,
        kind=job.kind,
        state=job.state,
        video_id=job.video,
        video=None if job.video is None else _name(context, job.video),
        done=job.progress.done,
        total=job.progress.total,
        note=job.progress.note,
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        error=None if job.failure is None else visible_text(job.failure.message, access),
        hint=None if job.failure is None else visible_text(job.failure.hint, access),
        created_at=job.created_at.isoformat(),
        started_at=None if job.started_at is None else job.started_at.isoformat(),
        ended_at=None if job.ended_at is None else job.ended_at.isoformat(),
        worker=shown_worker(job) if access.granted is None else None,
    )


def _name(context: ServiceContext, video: VideoId) -> str | None:
    try:
        return context.catalog.videos.get(video).name
    except NotFoundError:
        return None


def _may_see(access: Access, job: JobRow) -> bool:
    # A job about no video, such as a probe of drawn footage, is an admin's.
    return access.granted is None or (job.video is not None and access.may_see(job.video))
