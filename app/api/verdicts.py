"""Verdicts on moments: give one, take it back, list and export them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.auth import Principal
from app.api.deps import Ctx, CurrentUser
from app.api.openapi import content
from app.schemas.verdicts import VerdictItem, VerdictRequest, VerdictsResponse
from app.services.verdicts import Format, export_verdicts, give_verdict, list_verdicts
from storage.records import UserId

router = APIRouter(prefix="/api/v1/verdicts", tags=["ask"])


@router.get("", summary="List verdicts")
def get_verdicts(context: Ctx, principal: CurrentUser) -> VerdictsResponse:
    """Return the verdicts of a user; an admin sees those of everyone."""
    return list_verdicts(context.services, _whose(principal), principal)


@router.get(
    "/export",
    summary="Export verdicts",
    response_class=Response,
    responses=content("text/csv", "application/jsonl"),
)
def get_verdict_export(
    context: Ctx, principal: CurrentUser, kind: Annotated[Format, Query(alias="format")] = "csv"
) -> Response:
    """Return the same as a file: CSV, or a JSON object a line."""
    text = export_verdicts(list_verdicts(context.services, _whose(principal), principal), kind)
    media_type = "text/csv" if kind == "csv" else "application/jsonl"
    headers = {"content-disposition": f'attachment; filename="longwatch-verdicts.{kind}"'}
    return Response(text, media_type=media_type, headers=headers)


@router.put("", summary="Change a verdict")
def put_verdict(context: Ctx, principal: CurrentUser, body: VerdictRequest) -> VerdictItem | None:
    """Confirm or reject a moment of a search or an answer; `null` takes a verdict back."""
    return give_verdict(context.services, principal.user.id, body, principal)


def _whose(principal: Principal) -> UserId | None:
    return None if principal.is_admin else principal.user.id
