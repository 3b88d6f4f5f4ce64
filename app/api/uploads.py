"""Resumable uploads (tus 1.0), over the use cases of `app/services/uploads.py`.

POST creates an upload, PATCH appends a part, HEAD returns the offset, DELETE cancels.
"""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import format_datetime
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.audit import audit
from app.api.deps import AppContext, Ctx, CurrentAdmin
from app.api.openapi import failures
from app.errors import ConflictError
from app.services import uploads
from engine.errors import InputRefusedError
from storage.records import UploadId, UploadRow

VERSION: Final = "1.0.0"
BLOCK_BYTES: Final = 1 << 20

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])


@router.options("", summary="Get upload capabilities", status_code=204)
async def get_upload_options(context: Ctx) -> Response:
    """Return the protocol's version, its extensions and the largest file (tus 1.0)."""
    return Response(
        status_code=204,
        headers={
            **_common(),
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination,expiration",
            "Tus-Max-Size": str(int(context.settings.limits.upload_bytes)),
        },
    )


@router.post(
    "",
    summary="Create an upload",
    status_code=201,
    response_class=Response,
    responses=failures(413, 507),
)
async def create_upload(
    context: Ctx,
    principal: CurrentAdmin,
    upload_length: Annotated[int, Header(ge=1)],
    upload_metadata: Annotated[str, Header(max_length=4096)] = "",
) -> Response:
    """Check name, size and free space, and return the address for the parts."""
    row = await run_in_threadpool(
        lambda: uploads.announce_upload(
            context.services,
            principal.user.id,
            size_bytes=upload_length,
            file_name=_metadata(upload_metadata).get("filename", ""),
        )
    )
    headers = {**_common(), "Location": f"/api/v1/uploads/{row.id}", **_expires(row.expires_at)}
    return Response(status_code=201, headers=headers)


@router.head("/{upload_id}", summary="Get the offset of an upload", response_class=Response)
async def get_upload_offset(context: Ctx, principal: CurrentAdmin, upload_id: str) -> Response:
    """Return where the next part begins; a whole file that is no video yet becomes one."""
    row = await run_in_threadpool(
        uploads.find_upload, context.services, principal.user.id, upload_id
    )
    if row.is_complete and row.video is None:
        # A part that is just arriving takes the file in itself.
        with contextlib.suppress(ConflictError):
            async with _held(context, row.id):
                # As it is now: whoever held it before may have taken the file in.
                row = await run_in_threadpool(
                    uploads.find_upload, context.services, principal.user.id, upload_id
                )
                await run_in_threadpool(uploads.admit_upload, context.services, row)
    headers = {
        **_common(),
        "Upload-Offset": str(row.offset_bytes),
        "Upload-Length": str(row.size_bytes),
        "Cache-Control": "no-store",
        **_expires(row.expires_at),
    }
    return Response(status_code=200, headers=headers)


@router.patch(
    "/{upload_id}",
    summary="Append to an upload",
    status_code=204,
    responses=failures(409, 413, 507),
)
async def append_to_upload(
    context: Ctx,
    principal: CurrentAdmin,
    request: Request,
    upload_id: str,
    upload_offset: Annotated[int, Header(ge=0)],
    content_type: Annotated[str, Header()] = "",
) -> Response:
    """Write a part at the end of the file; the last part turns it into a video."""
    if content_type != "application/offset+octet-stream":
        raise InputRefusedError("a part must be sent as application/offset+octet-stream")
    async with _held(context, UploadId(upload_id)) as lock:
        row = await run_in_threadpool(
            uploads.find_upload, context.services, principal.user.id, upload_id
        )
        row = await _receive(context, row, upload_offset, request, lock)
        headers = {
            **_common(),
            "Upload-Offset": str(row.offset_bytes),
            **_expires(row.expires_at),
        }
        if row.is_complete:
            video = await run_in_threadpool(uploads.admit_upload, context.services, row)
            headers["Longwatch-Video"] = video.id
    return Response(status_code=204, headers=headers)


@router.delete("/{upload_id}", summary="Cancel an upload", status_code=204)
async def cancel_upload(context: Ctx, principal: CurrentAdmin, upload_id: str) -> Response:
    """Delete what has arrived; a video that it became already stays."""
    row = await run_in_threadpool(
        uploads.find_upload, context.services, principal.user.id, upload_id
    )
    await run_in_threadpool(uploads.remove_upload, context.services, row)
    audit(principal, "cancelled upload", row.id)
    return Response(status_code=204, headers=_common())


@contextlib.asynccontextmanager
async def _held(context: AppContext, upload: UploadId) -> AsyncIterator[uploads.PartLock]:
    """Keep every other part of an upload out while the body runs."""
    lock = await run_in_threadpool(context.parts.take, upload)
    try:
        yield lock
    finally:
        # Also of a request whose client has left.
        await asyncio.shield(run_in_threadpool(lock.release))


async def _receive(
    context: AppContext,
    row: UploadRow,
    offset_bytes: int,
    request: Request,
    lock: uploads.PartLock,
) -> UploadRow:
    """Write what arrives, even if the client disconnects half way."""
    part = await run_in_threadpool(uploads.UploadPart, context.services, row, offset_bytes, lock)
    try:
        async for block in _blocks(request):
            await run_in_threadpool(part.write, block)
    except ClientDisconnect:
        pass
    finally:
        # What has arrived stays: the client continues behind it.
        row = await asyncio.shield(run_in_threadpool(part.close))
    return row


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about 1 MiB, so that the disk sees few writes."""
    gathered = bytearray()
    async for piece in request.stream():
        gathered += piece
        if len(gathered) >= BLOCK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _metadata(header: str) -> dict[str, str]:
    """Parse `name base64, name base64`, the metadata header of tus."""
    values = {}
    for pair in header.split(","):
        name, _, encoded = pair.strip().partition(" ")
        try:
            values[name] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputRefusedError(f"Upload-Metadata {name!r} is not base64 of text") from error
    return values


def _expires(at: datetime) -> dict[str, str]:
    return {"Upload-Expires": format_datetime(at, usegmt=True)}


def _common() -> dict[str, str]:
    return {"Tus-Resumable": VERSION}
