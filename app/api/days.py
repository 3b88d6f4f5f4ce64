"""Days on the wall clock: a calendar of footage, and one day, video by video."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.deps import Ctx, CurrentUser
from app.schemas.common import VideoIds
from app.schemas.days import ComparedDaysResponse, DayResponse, DaysResponse
from app.services.days import compare_days, day_view, list_days

Night = Annotated[bool, Query(description="The night that begins on that day, from noon to noon.")]
router = APIRouter(prefix="/api/v1/days", tags=["videos"])


@router.get("", summary="List days")
def get_days(
    context: Ctx,
    principal: CurrentUser,
    month: Annotated[str | None, Query(max_length=7, description="2026-03")] = None,
    night: Night = False,
) -> DaysResponse:
    """Return the days of which there is footage, in local time where it was filmed."""
    return list_days(context.services, month, night=night, access=principal)


@router.get("/{date}", summary="Get a day")
def get_day(
    context: Ctx,
    principal: CurrentUser,
    date: Annotated[str, Path(max_length=10, description="2026-03-01")],
    video: Annotated[VideoIds, Query(description="Only these; all when left out.")] = [],  # noqa: B006
    night: Night = False,
) -> DayResponse:
    """Return what was filmed on a day and what was seen in it, with media times and local times."""
    return day_view(context.services, date, videos=video, night=night, access=principal)


@router.get("/{date}/beside/{other}", summary="Get a comparison of two days")
def get_compared_days(
    context: Ctx,
    principal: CurrentUser,
    date: Annotated[str, Path(max_length=10, description="2026-03-01")],
    other: Annotated[str, Path(max_length=10, description="2026-03-02")],
    video: Annotated[VideoIds, Query(description="Only these; all when left out.")] = [],  # noqa: B006
    night: Night = False,
) -> ComparedDaysResponse:
    """Return how long each source filmed on two days, and how often what was seen."""
    return compare_days(
        *(
            day_view(context.services, day, videos=video, night=night, access=principal)
            for day in (date, other)
        )
    )
