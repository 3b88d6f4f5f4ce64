"""Models: what answers and looks at footage here, and what could."""

from fastapi import APIRouter

from app.api.deps import Ctx, CurrentUser
from app.schemas.models import ModelOverviewResponse
from app.services.models import show_models

router = APIRouter(prefix="/api/v1/models", tags=["settings"])


@router.get("", summary="Get models")
def get_models(context: Ctx, principal: CurrentUser) -> ModelOverviewResponse:
    """Return the model that answers, what looks at footage beside it, and the models there are."""
    return show_models(context.services, principal)
