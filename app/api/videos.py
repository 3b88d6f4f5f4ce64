"""The library: list, add, rename and delete videos; timelines, captions, ingest."""

import base64
import binascii
import math
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from app.api.audit import audit
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.api.openapi import failures
from app.schemas.captions import CaptionsResponse
from app.schemas.jobs import JobItem
from app.schemas.videos import (
    AddVideoRequest,
    ChangeVideoRequest,
    MediaRootsResponse,
    RecordingItem,
    SpriteItem,
    TimelineResponse,
    VideoItem,
    VideosResponse,
)
from app.services import library, sources
from app.services.access import FULL_ACCESS, Access, visible_text
from app.services.captions import enqueue_captions, list_captions
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.services.jobs import describe_job, running_jobs
from app.services.library_query import check_query
from app.services.originals import has_original
from app.services.pictures import find_sprite
from app.services.playback import is_recorded
from app.services.previews import enqueue_preview
from app.services.scope import is_heard
from app.services.sources import check_allowed
from app.services.stills import find_playable, play_offset_s
from app.services.wall_clock import ClockChange, user_clock
from engine.errors import InputRefusedError
from engine.media.address import is_live_uri
from engine.records import VideoId
from storage.files import HomeFolder
from storage.records import JobRow, PageCursor, VideoRow

MAX_LIMIT = 500
"""Videos on a page."""

router = APIRouter(prefix="/api/v1", tags=["videos"])


@router.get("/videos", summary="List videos")
def list_videos(
    context: Ctx,
    principal: CurrentUser,
    response: Response,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description="All videos if omitted.")
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=256, description="The `next` of the page before.")
    ] = None,
    q: Annotated[
        str, Query(max_length=256, description="Words of the name, the file's name or the tags.")
    ] = "",
    tag: Annotated[list[str], Query(max_length=20, description="All of these.")] = [],  # noqa: B006
    camera: Annotated[str, Query(max_length=256)] = "",
    observed: Annotated[
        str, Query(max_length=64, description="A label (`person`) or a kind (`speech`).")
    ] = "",
    since: Annotated[str, Query(description="The first day, as 2026-03-01.")] = "",
    until: Annotated[str, Query(description="The last day.")] = "",
    sort: Annotated[
        str, Query(description="newest, filmed, name or longest; a cursor goes with newest.")
    ] = "newest",
) -> VideosResponse:
    """Return the videos that the user may see, newest first; in pages where a limit is given."""
    page = library.list_page(
        context.services,
        principal,
        limit=limit,
        behind=None if cursor is None else parse_cursor(cursor),
        query=check_query(
            text=q,
            tags=tag,
            camera=camera,
            observed=observed,
            since=since,
            until=until,
            sort=sort,
        ),
    )
    following = format_cursor(page.rows[-1]) if page.has_more and sort == "newest" else None
    if following is not None and limit is not None:
        fields = [("q", q), *(("tag", name) for name in tag), ("camera", camera)]
        fields += [("observed", observed), ("since", since), ("until", until)]
        fields += [("limit", str(limit)), ("cursor", following)]
        query = urlencode([(name, value) for name, value in fields if value])
        # RFC 8288
        response.headers["link"] = f'</api/v1/videos?{query}>; rel="next"'
    jobs = running_jobs(context.services)
    places = library.places_in_recordings(context.services, page.rows, principal)
    room = library.disk_room(context.services, principal)
    return VideosResponse(
        videos=[
            describe(context, row, jobs.get(row.id), principal, places.get(row.id))
            for row in page.rows
        ],
        total=page.n_videos,
        next=following,
        used_bytes=room.latent_bytes,
        still_bytes=room.still_bytes,
        free_bytes=room.free_bytes,
        reserve_bytes=room.reserve_bytes,
    )


@router.get("/videos/{video_id}", summary="Get a video")
def get_video(context: Ctx, principal: CurrentUser, video_id: str) -> VideoItem:
    """Return what is known of a video, and how far it has been ingested."""
    row = context.video(principal, video_id)
    job = running_jobs(context.services).get(row.id)
    place = library.places_in_recordings(context.services, [row], principal).get(row.id)
    return describe(context, row, job, principal, place)


@router.post("/videos", summary="Add a video", status_code=202, responses=failures(413, 503))
def add_video(context: Ctx, principal: CurrentAdmin, body: AddVideoRequest) -> VideoItem:
    """Add a file below a configured folder, or a camera, and start its ingest."""
    source = check_allowed(context.settings, body.source)
    clock = None
    if body.start_at is not None:
        clock = user_clock(context.settings, body.start_at, body.timezone)
    video = add_source(
        context.services,
        source,
        name=body.name,
        clock=clock,
        timezone=body.timezone,
        video_track=body.video_track,
    )
    job = enqueue_ingest(context.services, video)
    enqueue_preview(context.services, video)
    return describe(context, video, job)


@router.get("/videos/{video_id}/captions", summary="Get captions")
def get_captions(
    context: Ctx, principal: CurrentUser, video_id: str, find: str | None = None
) -> CaptionsResponse:
    """Return the caption of every chunk in time order, or those that contain words of `find`."""
    return list_captions(context.services, video_id, find, access=principal)


@router.post("/videos/{video_id}/captions", summary="Start captioning", status_code=202)
def caption_video(context: Ctx, principal: CurrentAdmin, video_id: str) -> JobItem:
    """Write a caption for every chunk that has none, as a job."""
    return describe_job(
        context.services, enqueue_captions(context.services, context.video(principal, video_id))
    )


@router.get("/roots", summary="List the server's folders")
def list_media_roots(context: Ctx, principal: CurrentAdmin) -> MediaRootsResponse:
    """Return the folders whose files may be added, and the media files in them."""
    return sources.list_roots(context.settings)


@router.patch("/videos/{video_id}", summary="Change a video")
def change_video(
    context: Ctx, principal: CurrentAdmin, video_id: str, body: ChangeVideoRequest
) -> VideoItem:
    """Change name, tags, wall clock, time zone or camera of a video; nothing is read again.

    A name that is taken gets a number behind it. `null` removes the wall clock or the zone.
    """
    row = context.video(principal, video_id)
    given = body.model_fields_set
    clock = ClockChange(
        start_at=body.start_at,
        removes_start="start_at" in given and body.start_at is None,
        timezone=body.timezone,
        removes_timezone="timezone" in given and body.timezone is None,
    )
    tags = row.tags if body.tags is None else body.tags
    row = library.change_video(
        context.services,
        row,
        name=body.name,
        clock=clock,
        camera=body.camera,
        leaves_camera="camera" in given and body.camera is None,
        add_tags=tags,
        remove_tags=[tag for tag in row.tags if tag not in tags],
    )
    place = library.places_in_recordings(context.services, [row], principal).get(row.id)
    return describe(context, row, None, principal, place)


@router.delete("/videos/{video_id}", summary="Delete a video", status_code=204)
def delete_video(context: Ctx, principal: CurrentAdmin, video_id: str) -> Response:
    """Delete a video with its latents, stills and jobs; a file outside the library is kept."""
    row = context.video(principal, video_id)
    library.remove_video(context.services, row)
    audit(principal, "deleted video", row.id)
    return Response(status_code=204)


@router.post("/videos/{video_id}/ingest", summary="Start ingest", status_code=202)
def ingest_video(context: Ctx, principal: CurrentAdmin, video_id: str) -> JobItem:
    """Ingest a video from where it stopped, as a job."""
    row = context.video(principal, video_id)
    return describe_job(context.services, enqueue_ingest(context.services, row))


@router.get("/videos/{video_id}/timeline", summary="Get the timeline")
def get_timeline(
    context: Ctx,
    principal: CurrentUser,
    video_id: str,
    q: Annotated[str, Query(description="A text to compare every chunk with.")] = "",
) -> TimelineResponse:
    """Return the activity of every chunk, and how similar each is to a query."""
    return library.show_timeline(context.services, context.video(principal, video_id), q)


def describe(
    context: AppContext,
    row: VideoRow,
    job: JobRow | None,
    access: Access = FULL_ACCESS,
    place: RecordingItem | None = None,
) -> VideoItem:
    """Return a video with its progress and playback, as someone may see it."""
    item = library.describe_video(context.services, row, access, recording=place)
    fields = item.model_dump()
    home = HomeFolder(context.home)
    if home.contains(home.local(row.uri)):
        fields["uri"] = "uploaded"
    factor = row.ingested_s / row.wall_s if row.wall_s > 0 else None
    live = _live_factor(job)
    duration_s = row.duration_s
    play = find_playable(context.services, row) is not None or is_recorded(context.services, row)
    left_s = None if duration_s is None else max(0.0, duration_s - row.ingested_s)
    pace = live or factor
    return VideoItem(
        **fields,
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
        job=None if job is None else describe_job(context.services, job, access),
        thumb_url=_thumb_url(context, row),
        play_url=f"/media/{row.id}/play.mp4" if play else None,
        play_offset_s=play_offset_s(context.services, row),
        play_note=list(_play_note(context, row, is_playable=play)),
        sprite=_sprite(context, row),
        hint=None if row.failure is None else visible_text(row.failure.hint, access),
    )


def format_cursor(row: VideoRow) -> str:
    """Return the cursor of the page that begins after a video."""
    text = f"{row.created_at.isoformat()} {row.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> PageCursor:
    """Return the position that a cursor stands for.

    Raises:
        InputRefusedError: It is not a cursor of this server.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, video = text.partition(" ")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None or not video or not video.isprintable():
            raise ValueError("no time zone, or no video")
        created_at = created_at.astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InputRefusedError(
            f"{cursor!r} is not a cursor of this server", hint="take it from `next` of a page"
        ) from error
    return PageCursor(created_at=created_at, id=VideoId(video))


def _expected_chunks(row: VideoRow) -> int | None:
    if row.status == "ready":
        return row.n_chunks
    if not row.duration_s or not row.n_chunks or not row.ingested_s:
        return None
    return max(row.n_chunks, math.ceil(row.n_chunks * row.duration_s / row.ingested_s))


def _live_factor(job: JobRow | None) -> float | None:
    """Return the media seconds a second of the running ingest, after its first three seconds."""
    if job is None or job.started_at is None or job.heartbeat_at is None:
        return None
    ran_s = (job.heartbeat_at - job.started_at).total_seconds()
    return job.progress.done / ran_s if ran_s > 3 and job.progress.done else None


def _thumb_url(context: AppContext, row: VideoRow) -> str | None:
    """Return the address of the thumbnail: of a live source what it showed last, once it did."""
    if not is_live_uri(row.uri):
        # A tenth of the way in, as first frames are often black.
        return f"/media/{row.id}/frame.jpg?t={round(min(60.0, (row.duration_s or 0.0) * 0.1), 1)}"
    if not context.services.stills.holds(row.id):
        return None
    return f"/media/{row.id}/frame.jpg?t={row.ingested_s:.1f}"


def _play_note(context: AppContext, row: VideoRow, *, is_playable: bool) -> tuple[str, ...]:
    if is_playable:
        return ("Sound alone: there is no picture.",) if is_heard(row) else ()
    if is_live_uri(row.uri):
        return (
            "No recording of this is kept.",
            "Its stills are: click the strip to see a moment.",
        )
    if not has_original(context.services, row):
        return "The file of this video is missing.", "Questions and search still work."
    codec = "this format" if row.media is None else str(row.media.video_codec).upper()
    return (
        f"Browsers cannot play {codec}.",
        "A playable copy is made after ingest; questions already work.",
    )


def _sprite(context: AppContext, row: VideoRow) -> SpriteItem | None:
    sprite = find_sprite(context.services, row)
    if sprite is None:
        return None
    # The counts tell one version from the next, so that a browser keeps neither too long.
    version = f"n={sprite.count}&step={sprite.step_s:g}"
    return SpriteItem(
        url=f"/media/{row.id}/sprite.jpg?{version}", step_s=sprite.step_s, count=sprite.count
    )
