"""Jobs: what runs, what waits, what failed and why."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.schemas.jobs import JobItem, JobsResponse
from engine.errors import NotFoundError
from engine.records import VideoId
from storage.records import JobId, JobRow

MAX_LISTED = 200

router = APIRouter(prefix="/api/v1", tags=["jobs"])
Number = Annotated[int, Path(ge=0, le=2**31)]


@router.get("/jobs", summary="List jobs")
def list_jobs(desk: Ctx, who: CurrentUser) -> JobsResponse:
    """Return the jobs of videos that the user may see, newest first."""
    jobs = [job for job in desk.catalog.jobs.listed() if _may_see(who, job)][:MAX_LISTED]
    return JobsResponse(jobs=[describe_job(desk, job) for job in jobs])


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job")
def cancel_job(desk: Ctx, who: CurrentAdmin, job_id: Number) -> JobItem:
    """Stop a job; what is committed stays."""
    job = desk.catalog.jobs.cancel(JobId(job_id))
    if job.video is not None and job.kind == "ingest" and job.state == "cancelled":
        desk.catalog.videos.set_status(job.video, "cancelled")
    return describe_job(desk, job)


@router.post("/jobs/{job_id}/retry", summary="Retry a job")
def retry_job(desk: Ctx, who: CurrentAdmin, job_id: Number) -> JobItem:
    """Queue a job again; it continues from the last committed chunk."""
    job = desk.catalog.jobs.retry(JobId(job_id))
    if job.video is not None and job.kind == "ingest" and job.state == "queued":
        desk.catalog.videos.set_status(job.video, "queued")
    return describe_job(desk, job)


def describe_job(desk: AppContext, job: JobRow) -> JobItem:
    """A job as its document."""
    return JobItem(
        job_id=job.id,
        kind=job.kind,
        state=job.state,
        video_id=job.video,
        video=None if job.video is None else _name(desk, job.video),
        done=job.progress.done,
        total=job.progress.total,
        note=job.progress.note,
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        error=None if job.failure is None else job.failure.message,
        hint=None if job.failure is None else job.failure.hint,
        created_at=job.created_at.isoformat(),
        started_at=None if job.started_at is None else job.started_at.isoformat(),
        ended_at=None if job.ended_at is None else job.ended_at.isoformat(),
    )


def _name(desk: AppContext, video: VideoId) -> str | None:
    try:
        return desk.catalog.videos.get(video).name
    except NotFoundError:
        return None


def _may_see(who: Principal, job: JobRow) -> bool:
    return who.is_admin or (job.video is not None and who.may_see(job.video))
