"""Background jobs: list, cancel, retry."""

from fastapi import APIRouter

from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.schemas.common import RowNumber
from app.schemas.jobs import JobItem, JobsResponse
from app.services import jobs

router = APIRouter(prefix="/api/v1", tags=["jobs"])


@router.get("/jobs", summary="List jobs")
def list_jobs(context: Ctx, principal: CurrentUser) -> JobsResponse:
    """Return the jobs of videos that the user may see, newest first."""
    return JobsResponse(jobs=jobs.list_jobs(context.services, principal))


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job")
def cancel_job(context: Ctx, principal: CurrentAdmin, job_id: RowNumber) -> JobItem:
    """Stop a job; what is committed stays."""
    return jobs.cancel_job(context.services, job_id)


@router.post("/jobs/{job_id}/retry", summary="Retry a job")
def retry_job(context: Ctx, principal: CurrentAdmin, job_id: RowNumber) -> JobItem:
    """Queue a job again; it continues from the last committed chunk."""
    return jobs.retry_job(context.services, job_id)
