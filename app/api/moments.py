"""Chapters and summary of a video."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Ctx, CurrentUser
from app.schemas.common import TimeBound
from app.schemas.moments import MomentsResponse
from app.services.moments import list_moments

router = APIRouter(prefix="/api/v1", tags=["videos"])


@router.get("/videos/{video_id}/moments", summary="Get moments")
def get_moments(
    context: Ctx,
    principal: CurrentUser,
    video_id: str,
    after: Annotated[TimeBound, Query()] = None,
    before: Annotated[TimeBound, Query()] = None,
    hours: Annotated[str | None, Query(max_length=11, description="22:00-06:00")] = None,
) -> MomentsResponse:
    """Return the chapters of a video in time order with titles and pictures, and a summary."""
    document = list_moments(
        context.services, video_id, after=after, before=before, hours=hours, access=principal
    )
    for moment in document.moments:
        moment.thumb_url = f"/media/{moment.video_id}/frame.jpg?t={moment.keyframe_s:.1f}"
    return document
