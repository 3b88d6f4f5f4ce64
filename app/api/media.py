"""Originals, playback copies, stills and clips by id, with Range; clients never name a path.

    /media/{id}               the original          /media/{id}/play.mp4      a playable file
    /media/{id}/frame.jpg?t=  a frame as JPEG       /media/{id}/sprite.jpg    the sprite sheet
    /media/{id}/clip?start=   a clip of it          /media/{id}/chapters.vtt  chapters

Decision: nothing is transcoded inside a request. A copy that browsers can play is made by the
worker (`app/services/previews.py`); until then the page says so, and stills and answers work.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext, Ctx, CurrentUser
from app.api.openapi import content
from app.api.ranges import ranged_response
from app.schemas.common import Seconds
from app.services.captions import caption_rows
from app.services.conversations import list_chapters
from app.services.library import export_clip
from app.services.originals import check_original
from app.services.pictures import kept_still, sprite_sheet
from app.services.playback import play_recording
from app.services.stills import (
    browser_plays,
    has_copy,
    make_still,
    media_type,
    play_offset_s,
    proxy_file,
    still_file,
)
from app.timefmt import format_offset
from app.webvtt import write_track
from engine.errors import NotFoundError
from engine.media.address import is_live_uri
from storage.files import HomeFolder

MAX_CLIP_S: Final = 600.0
_LEAST_CUE_S: Final = 0.5
_CUE_CHARS: Final = 120
_STORE_BYTES: Final = 2 << 20
"""Read of an object at a time: a player that seeks has asked for little that it does not want."""
_IMMUTABLE = {"cache-control": "private, max-age=86400"}
_CHANGING = {"cache-control": "private, no-cache"}
_SUFFIXES = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mp2t": "ts",
    "video/ogg": "ogv",
}

router = APIRouter(prefix="/media", tags=["media"])


@router.get(
    "/{video_id}",
    summary="Get the original file",
    response_class=FileResponse,
    responses=content("video/*"),
)
async def get_original(
    context: Ctx, principal: CurrentUser, video_id: str, request: Request
) -> Response:
    """Return the file as it was added; supports Range.

    One that lies in an object store alone is read from there, or the answer leads there.
    """
    row = await run_in_threadpool(context.video, principal, video_id)
    path = await run_in_threadpool(check_original, context.services, row)
    kind = media_type(row.media)
    if path.is_file():
        return FileResponse(
            path,
            media_type=kind,
            filename=f"{row.name}.{_SUFFIXES.get(kind, 'bin')}",
            content_disposition_type="inline",
        )
    return await run_in_threadpool(_from_store, context, path, request, kind)


@router.get(
    "/{video_id}/play.mp4",
    summary="Get a playable file",
    response_class=FileResponse,
    responses=content("video/mp4", "video/webm"),
)
async def get_playback(
    context: Ctx, principal: CurrentUser, video_id: str, request: Request
) -> Response:
    """Return the playback copy if there is one, else the original if browsers play it.

    Of what a camera filmed, all that is recorded by now, on the clock of the video.
    """
    row = await run_in_threadpool(context.video, principal, video_id)
    if row.camera is not None and is_live_uri(row.uri):
        joined = await run_in_threadpool(play_recording, context.services, row)
        return ranged_response(
            joined.n_bytes,
            joined.read,
            wanted=request.headers.get("range"),
            media_type="video/mp4",
        )
    if await run_in_threadpool(has_copy, context.services, row.id):
        path, kind = proxy_file(context.home, row.id), "video/mp4"
    elif browser_plays(row.media):
        path = await run_in_threadpool(check_original, context.services, row)
        kind = media_type(row.media)
    else:
        raise NotFoundError(
            "there is no playable copy yet", hint="the worker makes one after ingest"
        )
    if path.is_file():
        return FileResponse(path, media_type=kind)
    return await run_in_threadpool(_from_store, context, path, request, kind)


@router.get(
    "/{video_id}/frame.jpg",
    summary="Get a frame",
    response_class=Response,
    responses=content("image/jpeg"),
)
async def get_frame(
    context: Ctx,
    principal: CurrentUser,
    video_id: str,
    t: Annotated[Seconds, Query(description="Seconds from the start.")] = 0.0,
    w: Annotated[int, Query(description="Longest side: 160, 320, 640 or 1280 pixels.")] = 320,
) -> Response:
    """Return the frame shown at a time as JPEG: the still that was kept of it.

    Where none was kept, or it is smaller than asked for, a frame of the original is decoded once.
    """
    row = await run_in_threadpool(context.video, principal, video_id)
    # Behind what has been read, the last frame is shown, and soon another.
    headers = _IMMUTABLE if t < row.ingested_s else _CHANGING
    jpeg = await run_in_threadpool(kept_still, context.services, row, t, w)
    if jpeg is not None:
        return Response(jpeg, media_type="image/jpeg", headers=headers)
    still = still_file(context.home, row.id, t, w)
    if not still.is_file():
        async with context.frames:
            if not still.is_file():
                await anyio.to_thread.run_sync(make_still, context.services, row, t, w)
    return FileResponse(still, media_type="image/jpeg", headers=headers)


@router.get(
    "/{video_id}/sprite.jpg",
    summary="Get the sprite sheet",
    response_class=FileResponse,
    responses=content("image/jpeg"),
)
async def get_sprite(context: Ctx, principal: CurrentUser, video_id: str) -> FileResponse:
    """Return stills spread evenly over the video in one picture, ten a row.

    `sprite` of the video says how it is read, and names it by an address that changes with it.
    """
    row = await run_in_threadpool(context.video, principal, video_id)
    async with context.frames:
        path = await run_in_threadpool(sprite_sheet, context.services, row)
    return FileResponse(path, media_type="image/jpeg", headers=_IMMUTABLE)


@router.get(
    "/{video_id}/chapters.vtt",
    summary="Get chapters",
    response_class=Response,
    responses=content("text/vtt"),
)
async def get_chapters(context: Ctx, principal: CurrentUser, video_id: str) -> Response:
    """Return the user's questions, and the moments that answered them, as WebVTT."""
    row = await run_in_threadpool(context.video, principal, video_id)

    cues = await run_in_threadpool(list_chapters, context.services, principal.user.id, row.id)
    return Response(
        write_track(
            ((a, max(b, a + _LEAST_CUE_S), text[:_CUE_CHARS]) for a, b, text in cues),
            offset_s=play_offset_s(context.services, row),
        ),
        media_type="text/vtt",
    )


@router.get(
    "/{video_id}/captions.vtt",
    summary="Get the caption track",
    response_class=Response,
    responses=content("text/vtt"),
)
async def get_caption_track(context: Ctx, principal: CurrentUser, video_id: str) -> Response:
    """Return the captions of the model as WebVTT; without cues until there are any."""
    row = await run_in_threadpool(context.video, principal, video_id)

    rows = await run_in_threadpool(caption_rows, context.services, row.id)
    return Response(
        write_track(
            ((caption.ref.span.start_s, caption.ref.span.end_s, caption.text) for caption in rows),
            offset_s=play_offset_s(context.services, row),
        ),
        media_type="text/vtt",
    )


@router.get(
    "/{video_id}/clip",
    summary="Get a clip",
    response_class=FileResponse,
    responses=content("video/mp4"),
)
async def get_clip(
    context: Ctx,
    principal: CurrentUser,
    video_id: str,
    start: Seconds,
    end: Seconds,
) -> FileResponse:
    """Cut a clip, without encoding again where the container allows it; ten minutes at most."""
    row = await run_in_threadpool(context.video, principal, video_id)

    def write(target: Path) -> None:
        span_s = (start, end)
        export_clip(context.services, row, span_s, target, most_s=MAX_CLIP_S, may_replace=True)

    name = f"{row.name} {format_offset(start)[:-4].replace(':', '.')}.mp4"
    return await clip_response(context, name, write)


async def clip_response(
    context: AppContext,
    name: str,
    write: Callable[[Path], None],
    *,
    media_type: str = "video/mp4",
) -> FileResponse:
    """Return a clip, or an archive of some, written for this answer alone and deleted behind it."""
    folder = _ready(HomeFolder(context.home).thumbs)
    handle, temporary = tempfile.mkstemp(prefix="clip-", suffix=".mp4", dir=folder)
    os.close(handle)
    target = Path(temporary)
    try:
        async with context.frames:
            await run_in_threadpool(write, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return FileResponse(
        target,
        media_type=media_type,
        filename=name,
        background=BackgroundTask(target.unlink, missing_ok=True),
    )


def _from_store(context: AppContext, path: Path, request: Request, kind: str) -> Response:
    """Return what a request wants of a file that lies in the object store alone."""
    objects, signed_s = context.services.objects, context.settings.objects.signed_s
    if objects is None:
        raise NotFoundError("the file is gone")
    if signed_s is not None and (url := objects.signed_url(path, signed_s)) is not None:
        return RedirectResponse(url, 307, headers=_CHANGING)

    def read(start: int, end: int) -> Iterator[bytes]:
        for begin in range(start, end, _STORE_BYTES):
            yield objects.read(path, begin, min(end, begin + _STORE_BYTES))

    return ranged_response(
        objects.files(path.parent)[path.name].n_bytes,
        read,
        wanted=request.headers.get("range"),
        media_type=kind,
    )


def _ready(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
