"""Originals, playback copies, stills and clips by id, with Range; no path from a client is used.

    /media/{id}               the original          /media/{id}/play.mp4      what a browser plays
    /media/{id}/frame.jpg?t=  the frame shown then  /media/{id}/sprite.jpg    stills for scrubbing
    /media/{id}/clip?start=   a cut of it           /media/{id}/chapters.vtt  moments asked about

Decision: nothing is transcoded inside a request. A copy that browsers can play is made by the
worker (`app/services/previews.py`); until then the page says so, and stills and answers work.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from jaxtyping import UInt8
from PIL import Image
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppContext, Ctx, CurrentUser
from app.config.engine_config import media_limits
from app.sandbox.channel import SandboxLimits
from app.sandbox.reader import frame_at_foreign
from app.timefmt import format_offset
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.files import atomic_write
from engine.media.source import is_live_uri
from engine.records import MediaInfo, VideoId
from storage.records import VideoRow

STILL_WIDTHS: Final = (160, 320, 640, 1280)
_GRID_FPS: Final = 5.0
"""Stills are kept at fifths of a second: neighbours share a file."""
_MAX_CLIP_S: Final = 600.0
_STILL_LIMITS = SandboxLimits(cpu_s=60, stall_s=15.0)
_IMMUTABLE = {"cache-control": "private, max-age=86400"}
_WEBM_CODECS = frozenset({"vp8", "vp9", "av1"})
_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "ogg": "video/ogg",
}
_SUFFIXES = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mp2t": "ts",
    "video/ogg": "ogv",
}

router = APIRouter(prefix="/media", tags=["media"])


@router.get("/{video_id}", summary="Get the original file", response_class=FileResponse)
async def get_original(desk: Ctx, who: CurrentUser, video_id: str) -> FileResponse:
    """Return the file as it was added; supports Range."""
    row = await run_in_threadpool(desk.video, who, video_id)
    return FileResponse(
        await run_in_threadpool(original_file, row),
        media_type=media_type(row.media),
        filename=f"{row.name}.{_SUFFIXES.get(media_type(row.media), 'bin')}",
        content_disposition_type="inline",
    )


@router.get("/{video_id}/play.mp4", summary="Get a playable file", response_class=FileResponse)
async def get_playback(desk: Ctx, who: CurrentUser, video_id: str) -> FileResponse:
    """Return the playback copy if there is one, else the original if browsers play it."""
    row = await run_in_threadpool(desk.video, who, video_id)
    proxy = proxy_file(desk.home, row.id)
    if proxy.is_file():
        return FileResponse(proxy, media_type="video/mp4")
    if not browser_plays(row.media):
        raise NotFoundError("the playable copy is not made yet")
    return FileResponse(
        await run_in_threadpool(original_file, row), media_type=media_type(row.media)
    )


@router.get("/{video_id}/frame.jpg", summary="Get a frame", response_class=FileResponse)
async def get_frame(
    desk: Ctx,
    who: CurrentUser,
    video_id: str,
    t: Annotated[float, Query(ge=0, le=1e6, description="Seconds from the start.")] = 0.0,
    w: Annotated[int, Query(description="Width: 160, 320, 640 or 1280 pixels.")] = 320,
) -> FileResponse:
    """Return the frame shown at a time as JPEG; it is decoded once and kept."""
    if w not in STILL_WIDTHS:
        raise InputRefusedError(f"w is one of {', '.join(map(str, STILL_WIDTHS))}, not {w}")
    row = await run_in_threadpool(desk.video, who, video_id)
    step = round(t * _GRID_FPS)
    kept = thumbs_folder(desk.home, row.id) / f"{step}_{w}.jpg"
    if not kept.is_file():
        async with desk.frames:
            if not kept.is_file():
                await anyio.to_thread.run_sync(_keep_still, desk, row, step / _GRID_FPS, w, kept)
    return FileResponse(kept, media_type="image/jpeg", headers=_IMMUTABLE)


@router.get("/{video_id}/sprite.jpg", summary="Get the sprite sheet", response_class=FileResponse)
async def get_sprite(desk: Ctx, who: CurrentUser, video_id: str) -> FileResponse:
    """Return stills spread evenly over the video in one picture, ten a row."""
    row = await run_in_threadpool(desk.video, who, video_id)
    return _kept(sprite_file(desk.home, row.id), "image/jpeg", "the stills are not made yet")


@router.get("/{video_id}/chapters.vtt", summary="Get chapters")
async def get_chapters(desk: Ctx, who: CurrentUser, video_id: str) -> Response:
    """Return the user's questions, and the moments that answered them, as WebVTT."""
    row = await run_in_threadpool(desk.video, who, video_id)

    def gather() -> str:
        cues = [
            (one.span.start_s, one.span.end_s, turn.question)
            for talk in desk.catalog.conversations.listed(who.user.id, limit=50)
            for turn in desk.catalog.conversations.turns(talk.id)
            for one in turn.evidence[:1]
            if one.video == row.id
        ]
        return _track((a, max(b, a + 0.5), q[:120]) for a, b, q in sorted(cues))

    return Response(await run_in_threadpool(gather), media_type="text/vtt")


@router.get("/{video_id}/captions.vtt", summary="Get the caption track")
async def get_caption_track(desk: Ctx, who: CurrentUser, video_id: str) -> Response:
    """Return the captions of the model as WebVTT; without cues until there are any."""
    row = await run_in_threadpool(desk.video, who, video_id)

    def gather() -> str:
        said = desk.catalog.captions.listed(row.id)
        return _track((one.ref.span.start_s, one.ref.span.end_s, one.text) for one in said)

    return Response(await run_in_threadpool(gather), media_type="text/vtt")


@router.get("/{video_id}/clip", summary="Get a clip", response_class=FileResponse)
async def get_clip(
    desk: Ctx,
    who: CurrentUser,
    video_id: str,
    start: Annotated[float, Query(ge=0)],
    end: Annotated[float, Query(gt=0)],
) -> FileResponse:
    """Cut a clip, without encoding again where the container allows it; ten minutes at most."""
    if not start < end <= start + _MAX_CLIP_S:
        raise InputRefusedError(f"a clip is longer than 0 and at most {_MAX_CLIP_S:.0f} s")
    row = await run_in_threadpool(desk.video, who, video_id)
    handle, name = tempfile.mkstemp(prefix="clip-", suffix=".mp4", dir=_ready(desk.home / "thumbs"))
    os.close(handle)
    target = Path(name)
    try:
        async with desk.frames:
            await run_in_threadpool(desk.service.export_clip, row.id, start, end, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return FileResponse(
        target,
        media_type="video/mp4",
        filename=f"{row.name} {format_offset(start)[:-4].replace(':', '.')}.mp4",
        background=BackgroundTask(target.unlink, missing_ok=True),
    )


def original_file(row: VideoRow) -> Path:
    """Where the original lies.

    Raises:
        NotFoundError: A live source, which keeps none.
        UnreachableError: The file was moved.
    """
    if is_live_uri(row.uri):
        raise NotFoundError(f"{row.name} is a live source: its past pictures are not kept")
    path = Path(row.uri)
    if not path.is_file():
        raise UnreachableError(
            f"the file of {row.name} is gone", hint="answers and search work without it"
        )
    return path


def media_type(media: MediaInfo | None) -> str:
    """The type of an original, by its container as probed, never by its name."""
    names = [] if media is None else media.container.split(",")
    # One demuxer reads both; browsers take Matroska under the name of the subset.
    if media is not None and "webm" in names and media.video_codec in _WEBM_CODECS:
        return "video/webm"
    return next((_TYPES[name] for name in names if name in _TYPES), "application/octet-stream")


def browser_plays(media: MediaInfo | None) -> bool:
    """Whether today's browsers play the original; when in doubt a copy is made."""
    if media is None or media.is_live:
        return False
    codecs = {"video/mp4": {"h264", "av1"}, "video/webm": _WEBM_CODECS}
    return media.video_codec in codecs.get(media_type(media), set())


def thumbs_folder(home: Path, video: VideoId) -> Path:
    """Where the stills of a video lie."""
    return home / "thumbs" / video


def sprite_file(home: Path, video: VideoId) -> Path:
    """Where the picture of many stills lies."""
    return thumbs_folder(home, video) / "sprite.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprite:
    """Stills in one picture, ten a row."""

    step_s: float
    count: int


def read_sprite(home: Path, video: VideoId) -> Sprite | None:
    """What the picture of many stills holds; `None` until the worker has made it."""
    facts = sprite_file(home, video).with_suffix(".json")
    try:
        return Sprite(**json.loads(facts.read_text()))
    except OSError:
        return None


def proxy_file(home: Path, video: VideoId) -> Path:
    """Where the playback copy lies."""
    return home / "proxies" / f"{video}.mp4"


def write_still(pixels: UInt8[np.ndarray, "h w 3"], target: Path, *, quality: int = 80) -> None:
    """A picture as JPEG, written beside its name and renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two requests may ask for the same still at once; each writes a file of its own.
    with atomic_write(target) as temporary:
        Image.fromarray(pixels).save(temporary, "JPEG", quality=quality, optimize=True)


def _keep_still(desk: AppContext, row: VideoRow, time_s: float, width: int, target: Path) -> None:
    """Decode one frame in a child process; behind the end it is the last one."""
    copy = proxy_file(desk.home, row.id)
    uri = str(copy if copy.is_file() else original_file(row))
    limits = media_limits(desk.settings)
    picture = frame_at_foreign(uri, time_s, limits=limits, max_side_px=width, sandbox=_STILL_LIMITS)
    write_still(picture.pixels, target)


def _kept(path: Path, kind: str, missing: str) -> FileResponse:
    if not path.is_file():
        raise NotFoundError(missing)
    return FileResponse(path, media_type=kind, headers=_IMMUTABLE)


def _ready(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _track(cues: Iterable[tuple[float, float, str]]) -> str:
    """Starts, ends and texts as WebVTT; a cue without words is none."""
    blocks = (f"{_vtt(a)} --> {_vtt(b)}\n{_plain(text)}" for a, b, text in cues if text.strip())
    return "\n\n".join(("WEBVTT", *blocks)) + "\n"


def _vtt(time_s: float) -> str:
    return format_offset(time_s).zfill(12)


def _plain(text: str) -> str:
    """A text as one line of a cue: markup of WebVTT is escaped."""
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
