"""Whether a plan of cameras fits this machine."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Ctx, CurrentAdmin
from app.api.openapi import failures
from app.schemas.capacity import CapacityResponse

MOST_CHARACTERS = 200

router = APIRouter(prefix="/api/v1/capacity", tags=["settings"])


@router.get("", summary="Check a plan of cameras", responses=failures(422))
def plan_cameras(
    context: Ctx,
    principal: CurrentAdmin,
    plan: Annotated[
        str,
        Query(max_length=MOST_CHARACTERS, description="As `16 cameras, 1 fps, 30 days`."),
    ],
) -> CapacityResponse:
    """Measure this machine for about a minute, once for each frame rate, and compare a plan."""
    return context.capacity.plan(
        context.settings, plan, model=lambda: context.services.engine.model
    )
