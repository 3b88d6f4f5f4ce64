"""Background jobs."""

from app.schemas.common import Schema


class JobItem(Schema):
    """A background job."""

    job_id: int
    kind: str
    state: str
    video_id: str | None
    video: str | None
    done: float
    total: float | None
    note: str
    attempts: int
    cancel_requested: bool
    error: str | None
    hint: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    worker: str | None = None
    """Machine and process that have it; `null` where none has, and for a viewer."""


class JobsResponse(Schema):
    """Jobs, newest first."""

    jobs: list[JobItem]
