"""Observations of a video: list them, start or go on observing."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.schemas.jobs import JobItem
from app.schemas.observations import ObservationsResponse, OverviewResponse
from app.services.jobs import describe_job
from app.services.observations import MAX_LISTED, list_observations
from app.services.observe import enqueue_observe
from app.services.overview import show_overview
from engine.errors import InputRefusedError

MAX_FILTERS = 100

router = APIRouter(prefix="/api/v1", tags=["videos"])


@router.get("/videos/{video_id}/observations", summary="Get observations")
def get_observations(
    context: Ctx,
    principal: CurrentUser,
    video_id: str,
    kind: Annotated[
        list[str] | None,
        Query(max_length=MAX_FILTERS, description="`object`, `motion`, `text` or `speech`."),
    ] = None,
    label: Annotated[
        list[str] | None, Query(max_length=MAX_FILTERS, description="Such as `person`.")
    ] = None,
    find: Annotated[
        str | None, Query(max_length=4000, description="Words, found by their stems.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 1000,
) -> ObservationsResponse:
    """Return what was observed in time order, or what contains words of `find`, best first."""
    return list_observations(
        context.services,
        video_id,
        kinds=kind or (),
        labels=label or (),
        find=find,
        limit=limit,
        access=principal,
    )


@router.get("/videos/{video_id}/overview", summary="Get an overview")
def get_overview(context: Ctx, principal: CurrentUser, video_id: str) -> OverviewResponse:
    """Return what was observed in a video, questions that it answers, and how far observing is."""
    return show_overview(context.services, video_id, access=principal)


@router.post("/videos/{video_id}/observe", summary="Start observing", status_code=202)
def observe_video(
    context: Ctx,
    principal: CurrentAdmin,
    video_id: str,
    again: Annotated[
        bool, Query(description="Begin anew: delete first what was observed before.")
    ] = False,
) -> JobItem:
    """Run the observers of the settings over a video, each from where it stopped, as a job."""
    job = enqueue_observe(context.services, context.video(principal, video_id), again=again)
    if job is None:
        raise InputRefusedError(
            "the setting sight.observers is empty", hint="an administrator can name some"
        )
    return describe_job(context.services, job)
