"""The library: list, add, rename, delete, timelines."""

import math
import shutil
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api import media
from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.api.jobs import describe_job
from app.api.library_page import MAX_LIMIT, cursor_behind, link_to, place_of
from app.api.openapi import failures
from app.schemas.captions import CaptionsResponse
from app.schemas.jobs import JobItem
from app.schemas.videos import (
    AddVideoRequest,
    MediaRootsResponse,
    RenameVideoRequest,
    SpriteItem,
    TimelineChunk,
    TimelineResponse,
    VideoItem,
    VideosResponse,
)
from app.services.captions import enqueue_captions, list_captions
from app.services.context import describe_video
from app.services.previews import enqueue_preview
from app.services.sources import expand
from engine.errors import InputRefusedError, LongwatchError
from engine.media.source import is_live_uri
from engine.pipeline.similar import similarity
from storage.records import JobRow, VideoRow

MAX_FILES_LISTED = 500

router = APIRouter(prefix="/api/v1", tags=["videos"])


@router.get("/videos", summary="List videos")
def list_videos(
    desk: Ctx,
    who: CurrentUser,
    response: Response,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="All if left out.")] = None,
    cursor: Annotated[str | None, Query(max_length=256, description="`next` of a page.")] = None,
) -> VideosResponse:
    """Return every video that the user may see, newest first; in pages where a limit is given."""
    rows, following = _page(desk, who, limit, cursor)
    if following is not None and limit is not None:
        response.headers["link"] = link_to("/api/v1/videos", limit, following)
    jobs, totals = _ingest_jobs(desk), desk.catalog.videos.totals(who.granted)
    return VideosResponse(
        videos=[describe(desk, row, jobs.get(row.id)) for row in rows],
        total=totals.n_videos,
        next=following,
        used_bytes=totals.latent_bytes,
        free_bytes=shutil.disk_usage(desk.home).free,
        reserve_bytes=int(desk.settings.limits.disk_reserve_bytes),
    )


@router.get("/videos/{video_id}", summary="Get a video")
def get_video(desk: Ctx, who: CurrentUser, video_id: str) -> VideoItem:
    """Return what is known of a video, and how far it has been ingested."""
    row = desk.video(who, video_id)
    return describe(desk, row, _ingest_jobs(desk).get(row.id))


@router.post("/videos", summary="Add a video", status_code=202, responses=failures(413, 503))
def add_video(desk: Ctx, who: CurrentAdmin, body: AddVideoRequest) -> VideoItem:
    """Add a file below a configured folder, or a camera, and start its ingest."""
    source = _allowed_source(desk, body.source)
    video = desk.service.add_source(source, name=body.name, start_at=body.start_at)
    job = desk.service.enqueue(video)
    enqueue_preview(desk.service, video)
    return describe(desk, desk.catalog.videos.get(video.id), job)


@router.get("/videos/{video_id}/captions", summary="Get captions")
def get_captions(
    desk: Ctx, who: CurrentUser, video_id: str, find: str | None = None
) -> CaptionsResponse:
    """Return the caption of every chunk in time order, or those that contain words of `find`."""
    return list_captions(desk.service, desk.video(who, video_id).id, find)


@router.post("/videos/{video_id}/captions", summary="Start captioning", status_code=202)
def caption_video(desk: Ctx, who: CurrentAdmin, video_id: str) -> JobItem:
    """Write a caption for every chunk that has none, as a job."""
    return describe_job(desk, enqueue_captions(desk.service, desk.video(who, video_id)))


@router.get("/roots", summary="List the server's folders")
def list_media_roots(desk: Ctx, who: CurrentAdmin) -> MediaRootsResponse:
    """Return the folders whose files may be added, and the media files in them."""
    files: list[str] = []
    for root in desk.settings.paths.media_roots:
        try:
            files += expand([str(root)])
        except LongwatchError:
            continue
    roots = [str(root) for root in desk.settings.paths.media_roots]
    return MediaRootsResponse(roots=roots, files=files[:MAX_FILES_LISTED])


@router.patch("/videos/{video_id}", summary="Rename a video")
def rename_video(
    desk: Ctx, who: CurrentAdmin, video_id: str, body: RenameVideoRequest
) -> VideoItem:
    """Change a video's name; a name that is taken gets a number behind it."""
    row = desk.video(who, video_id)
    return describe(desk, desk.catalog.videos.rename(row.id, body.name), None)


@router.delete("/videos/{video_id}", summary="Delete a video", status_code=204)
def delete_video(desk: Ctx, who: CurrentAdmin, video_id: str) -> Response:
    """Delete a video with its latents, stills and jobs; a file outside the library is kept."""
    row = desk.video(who, video_id)
    desk.service.remove_video(row.id)
    return Response(status_code=204)


@router.post("/videos/{video_id}/ingest", summary="Start ingest", status_code=202)
def ingest_video(desk: Ctx, who: CurrentAdmin, video_id: str) -> JobItem:
    """Ingest a video from where it stopped, as a job."""
    row = desk.video(who, video_id)
    return describe_job(desk, desk.service.enqueue(row))


@router.get("/videos/{video_id}/timeline", summary="Get the timeline")
def get_timeline(
    desk: Ctx,
    who: CurrentUser,
    video_id: str,
    q: Annotated[str, Query(max_length=4000, description="Colours chunks by similarity.")] = "",
) -> TimelineResponse:
    """Return the activity of every chunk, and how similar each is to a query."""
    row = desk.video(who, video_id)
    chunks = () if row.fingerprint is None else desk.catalog.videos.chunks(row.id, row.fingerprint)
    loud = sorted(chunk.activity for chunk in chunks)
    top = loud[int(0.98 * (len(loud) - 1))] if loud else 0.0
    alike = similarity(desk.service.engine, row.id, q) if q.strip() and chunks else {}
    return TimelineResponse(
        video_id=row.id,
        duration_s=row.duration_s or row.ingested_s,
        ingested_s=row.ingested_s,
        chunks=[
            TimelineChunk(
                start_s=chunk.ref.span.start_s,
                end_s=chunk.ref.span.end_s,
                activity=chunk.activity,
                activity_shown=min(1.0, chunk.activity / top) if top > 0 else 0.0,
                similarity=alike.get(chunk.ref.ordinal, 0.0),
            )
            for chunk in chunks
        ],
    )


def describe(desk: AppContext, row: VideoRow, job: JobRow | None) -> VideoItem:
    """A video as a page shows it."""
    known = describe_video(row).model_dump()
    if row.uri.startswith(str(desk.home)):
        known["uri"] = "uploaded"
    factor = row.ingested_s / row.wall_s if row.wall_s > 0 else None
    live = _live_factor(job)
    duration_s, play = row.duration_s, _playable(desk, row)
    left_s = None if duration_s is None else max(0.0, duration_s - row.ingested_s)
    pace = live or factor
    return VideoItem(
        **known,
        width_px=None if row.media is None else row.media.width_px,
        height_px=None if row.media is None else row.media.height_px,
        video_codec=None if row.media is None else row.media.video_codec,
        is_live=row.media is not None and row.media.is_live,
        ingested_s=row.ingested_s,
        expected_chunks=_expected_chunks(row),
        realtime_factor=pace,
        eta_s=left_s / pace if left_s and pace and row.status == "ingesting" else None,
        frames_sampled=row.stats.frames_sampled,
        frames_skipped_static=row.stats.frames_skipped_static,
        job=None if job is None else describe_job(desk, job),
        thumb_url=None if is_live_uri(row.uri) else f"/media/{row.id}/frame.jpg?t={_cover_s(row)}",
        play_url=f"/media/{row.id}/play.mp4" if play else None,
        play_note=[] if play else list(_play_note(row)),
        sprite=_sprite(desk, row),
        hint=None if row.failure is None else row.failure.hint,
    )


def _allowed_source(desk: AppContext, source: str) -> str:
    """A camera, or a real file below a configured folder: links that lead out are refused."""
    if is_live_uri(source):
        return source
    try:
        path = Path(source).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        path = None
    roots = [root.expanduser().resolve() for root in desk.settings.paths.media_roots]
    if path is None or not any(path.is_relative_to(root) for root in roots) or not path.is_file():
        raise InputRefusedError(
            "only files below the configured folders can be added",
            hint="set paths.media_roots in longwatch.toml, or upload the file",
        )
    return str(path)


def _page(
    desk: AppContext, who: Principal, limit: int | None, cursor: str | None
) -> tuple[tuple[VideoRow, ...], str | None]:
    """The videos of a page, and the cursor of the next one if there is one."""
    if limit is None:
        if cursor is not None:
            raise InputRefusedError("a cursor goes with a limit", hint="add limit=100")
        return tuple(reversed(desk.videos(who))), None
    behind = None if cursor is None else place_of(cursor)
    found = desk.catalog.videos.page(limit + 1, behind=behind, among=who.granted)
    rows = found[:limit]
    return rows, cursor_behind(rows[-1]) if len(found) > limit else None


def _ingest_jobs(desk: AppContext) -> dict[str, JobRow]:
    jobs = desk.catalog.jobs.listed("queued", "running")
    return {job.video: job for job in jobs if job.video is not None and job.kind == "ingest"}


def _expected_chunks(row: VideoRow) -> int | None:
    if row.status == "ready":
        return row.n_chunks
    if not row.duration_s or not row.n_chunks or not row.ingested_s:
        return None
    return max(row.n_chunks, math.ceil(row.n_chunks * row.duration_s / row.ingested_s))


def _live_factor(job: JobRow | None) -> float | None:
    """The pace of the run under way, as its progress note tells it."""
    if job is None or job.started_at is None or job.heartbeat_at is None:
        return None
    ran_s = (job.heartbeat_at - job.started_at).total_seconds()
    return job.progress.done / ran_s if ran_s > 3 and job.progress.done else None


def _cover_s(row: VideoRow) -> float:
    """A still from a tenth of the way in: first frames are often black."""
    return round(min(60.0, (row.duration_s or 0.0) * 0.1), 1)


def _playable(desk: AppContext, row: VideoRow) -> bool:
    if media.proxy_file(desk.home, row.id).is_file():
        return True
    return media.browser_plays(row.media) and Path(row.uri).is_file()


def _play_note(row: VideoRow) -> tuple[str, str]:
    if is_live_uri(row.uri):
        return "A camera keeps no past pictures.", "Answers and their times come from its latents."
    if not Path(row.uri).is_file():
        return "The file of this video is gone.", "Answers and search work without it."
    codec = "this format" if row.media is None else str(row.media.video_codec).upper()
    return (
        f"Browsers do not play {codec} as it is.",
        "A playable copy is made after reading; questions work meanwhile.",
    )


def _sprite(desk: AppContext, row: VideoRow) -> SpriteItem | None:
    made = media.read_sprite(desk.home, row.id)
    if made is None:
        return None
    return SpriteItem(url=f"/media/{row.id}/sprite.jpg", step_s=made.step_s, count=made.count)
