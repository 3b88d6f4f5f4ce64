"""Overview of a video before anything is asked: observations, questions, progress."""

from app.schemas.observations import ObservedItem, OverviewResponse
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.context import ServiceContext
from app.services.job_kinds import OBSERVE
from app.services.jobs import describe_job
from app.services.observations import describe_observed
from engine.records import ALL_TIME
from storage.records import JobRow, VideoRow

NO_OBSERVER = "Nothing is observed here: the setting sight.observers is empty."


def show_overview(
    context: ServiceContext, video: str, *, access: Access = FULL_ACCESS
) -> OverviewResponse:
    """Return what was observed in a video, what that answers, and how far observing is.

    Raises:
        NotFoundError: No such video.
    """
    row = find_video(context, video, access)
    job = _latest_job(context, row)
    observed = describe_observed(context, row)
    is_running = job is not None and job.state in {"queued", "running"}
    return OverviewResponse(
        video_id=row.id,
        video=row.name,
        observed=observed,
        job=None if job is None else describe_job(context, job, access),
        note=None if is_running else _note(row, observed),
        can_observe=bool(context.settings.sight.observers),
        questions=list(_questions(context, row)),
    )


def _questions(context: ServiceContext, video: VideoRow) -> tuple[str, ...]:
    if not context.catalog.observations.reach(video.id):
        return ()
    # Late: torch, which pages that show no video do without.
    from app.services.observed_footage import gather_footage
    from engine.pipeline.compose.starters import starter_questions

    return starter_questions(gather_footage(context, [(video.id, ALL_TIME)]))


def _latest_job(context: ServiceContext, video: VideoRow) -> JobRow | None:
    jobs = context.catalog.jobs.list(video=video.id)
    return next((job for job in jobs if job.kind == OBSERVE), None)


def _note(video: VideoRow, observed: list[ObservedItem]) -> str | None:
    """Return why there is nothing to show, and what to do; `None` where there is something."""
    if any(item.count for item in observed):
        return None
    # Sound alone is ready without a chunk.
    if not video.n_chunks and video.status != "ready":
        return "Nothing of this video has been read yet; observing comes after that."
    if not observed:
        return NO_OBSERVER
    if any(item.reach_s > 0 for item in observed):
        names = ", ".join(item.observer for item in observed if item.reach_s > 0)
        return f"Nothing was recognised in this video by: {names}."
    return "Nothing was observed in this video yet; an administrator can start it here."
