"""Resumable uploads (tus 1.0) into quarantine, then into the library.

POST announces a file, PATCH appends a part, HEAD tells how much is here, DELETE gives it up.

Decision: a part is written straight to its place in one file below `uploads/`, 1 MiB in memory at
a time, and noted in the database only when it is on the disk; the whole file is then renamed into
`media/`, never copied. A kill between the two costs at most the part under way.
"""

import asyncio
import base64
import binascii
import os
import re
import shutil
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.deps import AppContext, Ctx, CurrentAdmin
from app.api.openapi import failures
from app.errors import ConflictError, hint_for
from app.services.previews import enqueue_preview
from engine.errors import DiskFullError, InputRefusedError, LimitExceededError, NotFoundError
from engine.files import fsync_rename
from storage.catalog import utc_now
from storage.records import UploadId, UploadRow, VideoRow

VERSION: Final = "1.0.0"
KEPT_DAYS: Final = 7
"""How long an upload waits to be continued."""
BLOCK_BYTES: Final = 1 << 20
NOTED_EVERY_BYTES: Final = 32 << 20
"""Bytes on disk between two notes in the database while one long part arrives."""
MAX_OPEN_UPLOADS: Final = 32
MAX_NAME_CHARS: Final = 120

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])


@router.options("", summary="Get upload capabilities", status_code=204)
async def get_upload_options(desk: Ctx) -> Response:
    """Return the protocol's version, its extensions and the largest file (tus 1.0)."""
    return Response(
        status_code=204,
        headers={
            **_common(),
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination,expiration",
            "Tus-Max-Size": str(int(desk.settings.limits.upload_bytes)),
        },
    )


@router.post("", summary="Create an upload", status_code=201, responses=failures(413, 507))
async def create_upload(
    desk: Ctx,
    who: CurrentAdmin,
    upload_length: Annotated[int, Header(ge=1)],
    upload_metadata: Annotated[str, Header(max_length=4096)] = "",
) -> Response:
    """Check name, size and free space, and return the address for the parts."""
    limits = desk.settings.limits
    if upload_length > limits.upload_bytes:
        raise LimitExceededError(
            "the size of the upload",
            f"{upload_length} bytes",
            f"{int(limits.upload_bytes)} bytes",
            field="max_bytes",
        )
    folder = desk.settings.home / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    await run_in_threadpool(sweep, desk)
    _check_room(folder, upload_length, int(limits.disk_reserve_bytes))
    name = clean_name(_metadata(upload_metadata).get("filename", ""))
    open_now = [row for row in desk.catalog.uploads.listed(who.user.id) if not row.is_complete]
    if len(open_now) >= MAX_OPEN_UPLOADS:
        raise InputRefusedError(
            f"{len(open_now)} uploads are open already", hint="finish or cancel one of them"
        )
    row = await run_in_threadpool(
        lambda: desk.catalog.uploads.add(
            name=name, size_bytes=upload_length, expires_at=_expiry(), user=who.user.id
        )
    )
    _part_file(desk, row.id).touch()
    headers = {**_common(), "Location": f"/api/v1/uploads/{row.id}", **_expires(row.expires_at)}
    return Response(status_code=201, headers=headers)


@router.head("/{upload_id}", summary="Get the offset of an upload")
async def get_upload_offset(desk: Ctx, who: CurrentAdmin, upload_id: str) -> Response:
    """Return where the next part begins."""
    row = await run_in_threadpool(_own, desk, who.user.id, upload_id)
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
    desk: Ctx,
    who: CurrentAdmin,
    request: Request,
    upload_id: str,
    upload_offset: Annotated[int, Header(ge=0)],
    content_type: Annotated[str, Header()] = "",
) -> Response:
    """Write a part at the end of the file; the last part turns it into a video."""
    if content_type != "application/offset+octet-stream":
        raise InputRefusedError("a part is sent as application/offset+octet-stream")
    async with _alone(upload_id):
        row = await run_in_threadpool(_own, desk, who.user.id, upload_id)
        if upload_offset != row.offset_bytes:
            raise ConflictError(
                f"the part begins at byte {upload_offset}, the file ends at {row.offset_bytes}",
                hint="ask with HEAD where to go on",
            )
        row = await _receive(desk, row, request)
        headers = {
            **_common(),
            "Upload-Offset": str(row.offset_bytes),
            **_expires(row.expires_at),
        }
        if row.is_complete:
            video = await run_in_threadpool(_admit, desk, row)
            headers["Longwatch-Video"] = video.id
    return Response(status_code=204, headers=headers)


@router.delete("/{upload_id}", summary="Cancel an upload", status_code=204)
async def cancel_upload(desk: Ctx, who: CurrentAdmin, upload_id: str) -> Response:
    """Delete what has arrived; a video that it became already stays."""
    row = await run_in_threadpool(_own, desk, who.user.id, upload_id)
    await run_in_threadpool(_forget, desk, row)
    return Response(status_code=204, headers=_common())


def clean_name(name: str) -> str:
    """A file's name as it is shown: never used as a path, without control signs, not too long."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    shown = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip(" .")
    stem, dot, suffix = shown.rpartition(".")
    shown = stem if dot and len(suffix) <= 5 and stem else shown
    return shown[:MAX_NAME_CHARS].strip() or "upload"


def sweep(desk: AppContext) -> None:
    """Remove uploads that nobody continued in time."""
    for row in desk.catalog.uploads.expired():
        _forget(desk, row)


async def _receive(desk: AppContext, row: UploadRow, request: Request) -> UploadRow:
    """Write what arrives, also when the sender leaves half way, and note it."""
    noted, at = row.offset_bytes, row.offset_bytes
    with _part_file(desk, row.id).open("r+b", buffering=0) as file:
        file.seek(at)
        try:
            async for block in _blocks(request):
                if at + len(block) > row.size_bytes:
                    raise InputRefusedError(
                        f"more arrives than the {row.size_bytes} bytes that were announced"
                    )
                await run_in_threadpool(_write, file.fileno(), block, row)
                at += len(block)
                if at - noted >= NOTED_EVERY_BYTES:
                    noted = await run_in_threadpool(_note, desk, row.id, file.fileno(), noted, at)
        except ClientDisconnect:
            pass
        finally:
            # What is here stays here: the sender goes on behind it.
            await asyncio.shield(run_in_threadpool(_note, desk, row.id, file.fileno(), noted, at))
    return await run_in_threadpool(desk.catalog.uploads.get, row.id)


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of about 1 MiB, so that the disk sees few writes."""
    gathered = bytearray()
    async for piece in request.stream():
        gathered += piece
        if len(gathered) >= BLOCK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _write(file: int, block: bytes, row: UploadRow) -> None:
    view = memoryview(block)
    while view:
        try:
            view = view[os.write(file, view) :]
        except OSError as error:
            raise DiskFullError(
                f"{row.name}: a part could not be written ({error.strerror})",
                hint="free some space; the upload goes on where it stopped",
            ) from error


def _note(desk: AppContext, upload: UploadId, file: int, noted: int, at: int) -> int:
    if at > noted:
        os.fdatasync(file)
        desk.catalog.uploads.advance(upload, from_bytes=noted, to_bytes=at, expires_at=_expiry())
    return at


def _admit(desk: AppContext, row: UploadRow) -> VideoRow:
    """Rename the whole file into the library, probe it, and have it read.

    A file that is refused is removed with its upload: nothing of it stays.
    """
    if row.video is not None:
        return desk.catalog.videos.get(row.video)
    target = desk.settings.home / "media" / f"{row.id}.bin"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part_file(desk, row.id)
    if part.exists():
        fsync_rename(part, target)
    try:
        video = desk.service.add_source(str(target), name=row.name)
    except InputRefusedError as error:
        target.unlink(missing_ok=True)
        desk.catalog.uploads.remove(row.id)
        # The user knows the file by its name, and need not know where it lay.
        said = error.message.replace(str(target), row.name)
        refused = InputRefusedError(said, hint=hint_for(error))
        raise refused from error
    if video.uri != str(target):
        # The same content is here already: the older file is the one that counts.
        target.unlink(missing_ok=True)
    desk.catalog.uploads.became(row.id, video.id)
    if video.status in {"queued", "failed", "cancelled"}:
        desk.service.enqueue(video)
    enqueue_preview(desk.service, video)
    return video


def _forget(desk: AppContext, row: UploadRow) -> None:
    _part_file(desk, row.id).unlink(missing_ok=True)
    desk.catalog.uploads.remove(row.id)


def _own(desk: AppContext, user: str, upload_id: str) -> UploadRow:
    """The upload of an id, if it is this user's: to anyone else it does not exist."""
    row = desk.catalog.uploads.get(UploadId(upload_id))
    if row.user != user:
        raise NotFoundError(f"no upload {upload_id!r}")
    return row


def _part_file(desk: AppContext, upload: UploadId) -> Path:
    return desk.settings.home / "uploads" / f"{upload}.part"


_busy: set[str] = set()


@asynccontextmanager
async def _alone(upload_id: str) -> AsyncIterator[None]:
    """One part of an upload at a time: two tabs must not write over each other."""
    if upload_id in _busy:
        raise ConflictError("another part of this upload is being written")
    _busy.add(upload_id)
    try:
        yield
    finally:
        _busy.discard(upload_id)


def _check_room(folder: Path, size_bytes: int, reserve_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes - size_bytes < reserve_bytes:
        raise DiskFullError(
            f"{size_bytes / 1e9:.2f} GB do not fit: {free_bytes / 1e9:.2f} GB are free and "
            f"{reserve_bytes / 1e9:.2f} GB are kept in reserve",
            hint="delete a video, or lower the setting limits.disk_reserve_bytes",
        )


def _metadata(header: str) -> dict[str, str]:
    """`name base64, name base64` as tus writes it."""
    found = {}
    for pair in header.split(","):
        name, _, encoded = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputRefusedError(f"Upload-Metadata {name!r} is not base64 of text") from error
    return found


def _expiry() -> datetime:
    return utc_now() + timedelta(days=KEPT_DAYS)


def _expires(at: datetime) -> dict[str, str]:
    return {"Upload-Expires": format_datetime(at, usegmt=True)}


def _common() -> dict[str, str]:
    return {"Tus-Resumable": VERSION}
