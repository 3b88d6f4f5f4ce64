"""Sets of needles that a probe can plant: folders of the server, and uploaded archives."""

import tempfile
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.audit import audit
from app.api.deps import Ctx, CurrentAdmin
from app.api.openapi import failures
from app.schemas.needles import NeedleSetCreated, NeedleSetItem, NeedleSetsResponse
from app.services.needles import (
    NeedleSet,
    check_archive_size,
    list_needles,
    remove_needles,
    take_archive,
)
from engine.errors import InputRefusedError

ZIP_TYPES = frozenset({"application/zip", "application/x-zip-compressed"})
_IN_MEMORY_BYTES = 1 << 20

router = APIRouter(prefix="/api/v1/needles", tags=["needles"])
Name = Annotated[str, Path(max_length=64)]


@router.get("", summary="List needle sets")
def list_needle_sets(context: Ctx, principal: CurrentAdmin) -> NeedleSetsResponse:
    """Return uploaded sets, and folders with a `needles.jsonl` below a configured folder."""
    return NeedleSetsResponse(sets=[_item(needles) for needles in list_needles(context.settings)])


@router.put("/{name}", summary="Upload a needle set", status_code=201, responses=failures(422))
async def upload_needle_set(
    context: Ctx,
    principal: CurrentAdmin,
    request: Request,
    name: Name,
    content_type: Annotated[str, Header()] = "",
) -> NeedleSetCreated:
    """Store a zip of pictures and `needles.jsonl`; it is kept only if every line is usable."""
    if content_type.split(";")[0].strip() not in ZIP_TYPES:
        raise InputRefusedError(
            "a needle set must be sent as application/zip", hint="set the Content-Type header"
        )
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as archive:
        async for block in request.stream():
            check_archive_size(name, archive.tell() + len(block))
            archive.write(block)
        needles, n_needles = await run_in_threadpool(take_archive, context.home, name, archive)
    return NeedleSetCreated(**_item(needles).model_dump(), n_needles=n_needles)


@router.delete("/{name}", summary="Delete a needle set", status_code=204)
def delete_needle_set(context: Ctx, principal: CurrentAdmin, name: Name) -> Response:
    """Delete an uploaded set; runs made with it keep their pictures."""
    remove_needles(context.home, name)
    audit(principal, "deleted needle set", name)
    return Response(status_code=204)


def _item(needles: NeedleSet) -> NeedleSetItem:
    return NeedleSetItem(key=needles.key, name=needles.name, is_upload=needles.is_upload)
