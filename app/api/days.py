"""Days on the wall clock: a calendar of footage, and one day, video by video."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.deps import Ctx, CurrentUser
from app.schemas.common import VideoIds
from app.schemas.days import DayResponse, DaysResponse
from app.services.days import day_view, list_days

router = APIRouter(prefix="/api/v1/days", tags=["videos"])


@router.get("", summary="List days")
def get_days(
    context: Ctx,
    principal: CurrentUser,
    month: Annotated[str | None, Query(max_length=7, description="2026-03")] = None,
) -> DaysResponse:
    """Return the days of which there is footage, in local time where it was filmed."""
    return list_days(context.services, month, access=principal)


@router.get("/{date}", summary="Get a day")
def get_day(
    context: Ctx,
    principal: CurrentUser,
    date: Annotated[str, Path(max_length=10, description="2026-03-01")],
    video: Annotated[VideoIds, Query(description="Only these; all when left out.")] = [],  # noqa: B006
) -> DayResponse:
    """Return what was filmed on a day and what was seen in it, with media times and local times."""
    return day_view(context.services, date, videos=video, access=principal)
