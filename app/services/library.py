"""The library: list, show, rename and remove videos, cut clips."""

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.schemas.common import MessageResponse, describe_span
from app.schemas.videos import (
    LibraryItem,
    LibraryResponse,
    RecordingItem,
    TimelineChunk,
    TimelineResponse,
)
from app.services.access import (
    FULL_ACCESS,
    Access,
    find_camera,
    find_video,
    visible_text,
    visible_videos,
)
from app.services.context import ServiceContext
from app.services.library_query import NO_QUERY, LibraryQuery, find_videos
from app.services.objects import remove_video_objects
from app.services.observations import describe_observed
from app.services.originals import held_file, original_path
from app.services.recordings import in_recorded_order, may_be_part, recordings
from app.services.sidecar import save_sidecar
from app.services.tags import changed_tags, tag_video
from app.services.wall_clock import NO_CHANGE, ClockChange, change_clock
from app.timefmt import wall_clock
from engine.errors import InputRefusedError, NotFoundError
from engine.media.address import is_live_uri
from engine.records import TimeSpan, VideoId
from storage.camera_records import CameraRow
from storage.files import HomeFolder
from storage.records import PageCursor, VideoRow

MAX_NAME_CHARS = 120


def check_name(name: str) -> str:
    """Return the name of a video or camera without spaces around it.

    Raises:
        InputRefusedError: It is empty, too long, or holds control characters.
    """
    shown = name.strip()
    if not 0 < len(shown) <= MAX_NAME_CHARS or not shown.isprintable():
        raise InputRefusedError(
            f"{shown[:MAX_NAME_CHARS]!r} cannot be a name",
            hint=f"use 1 to {MAX_NAME_CHARS} characters on one line",
        )
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryPage:
    """Some videos in the order of a list."""

    rows: tuple[VideoRow, ...]
    has_more: bool
    n_videos: int
    """On all pages."""


def list_page(
    context: ServiceContext,
    access: Access,
    *,
    limit: int | None,
    behind: PageCursor | None,
    query: LibraryQuery = NO_QUERY,
) -> LibraryPage:
    """Return the videos of a query that someone may see, newest first.

    A page begins behind a video and not behind a count, because others come and go between two
    pages and none may be lost or shown twice.

    Args:
        limit: The most on a page; all when `None`.
        behind: The end of the page before; the first page when `None`.
    Raises:
        InputRefusedError: A place in the list without a limit, or with another order.
    """
    listed = find_videos(context, query, access)
    rest = listed
    if behind is not None:
        if limit is None or query.sort != "newest":
            raise InputRefusedError(
                "a cursor goes with a limit, and with the newest first", hint="add limit=100"
            )
        place = (behind.created_at, behind.id)
        rest = tuple(row for row in listed if (row.created_at, row.id) < place)
    rows = rest if limit is None else rest[:limit]
    return LibraryPage(rows=rows, has_more=len(rest) > len(rows), n_videos=len(listed))


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """Bytes that a library takes, and those left on the disk, which an admin alone is told."""

    n_videos: int
    latent_bytes: int
    still_bytes: int | None = None
    free_bytes: int | None = None
    reserve_bytes: int | None = None


def disk_room(context: ServiceContext, access: Access) -> DiskRoom:
    """Return what the videos that someone may see take."""
    totals = context.catalog.videos.totals(access.granted)
    room = DiskRoom(n_videos=totals.n_videos, latent_bytes=totals.latent_bytes)
    if access.granted is not None:
        return room
    return replace(
        room,
        still_bytes=context.stills.used_bytes(),
        free_bytes=shutil.disk_usage(context.settings.home).free,
        reserve_bytes=int(context.settings.limits.disk_reserve_bytes),
    )


def places_in_recordings(
    context: ServiceContext, rows: Sequence[VideoRow], access: Access
) -> dict[VideoId, RecordingItem]:
    """Return the places of videos in recordings; other parts of these need not be among `rows`."""
    if not any(may_be_part(row) for row in rows):
        return {}
    return recordings(visible_videos(context, access))


def show_timeline(context: ServiceContext, row: VideoRow, query: str = "") -> TimelineResponse:
    """Return the activity of every chunk of a video, and how similar each is to a query."""
    # Late: torch, which a list of videos does without.
    from app.services.question_text import check_text
    from engine.pipeline.similar import similarity

    if query:
        check_text(context, "query", query)
    chunks = () if row.fingerprint is None else context.catalog.chunks.list(row.id, row.fingerprint)
    # The 98th percentile fills the strip: one flash of light would flatten all the rest.
    activities = sorted(chunk.activity for chunk in chunks)
    top = activities[int(0.98 * (len(activities) - 1))] if activities else 0.0
    similar = similarity(context.engine, row.id, query) if query and chunks else {}
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
                similarity=similar.get(chunk.ref.ordinal, 0.0),
            )
            for chunk in chunks
        ],
    )


def list_videos(context: ServiceContext, query: LibraryQuery = NO_QUERY) -> LibraryResponse:
    """Return the videos of a query, oldest first, the parts of a recording together."""
    rows = find_videos(context, query)[::-1]
    places = recordings(context.catalog.videos.list())
    return LibraryResponse(
        videos=[
            describe_video(context, row, recording=places.get(row.id))
            for row in in_recorded_order(rows)
        ]
    )


def show_video(context: ServiceContext, video: str) -> LibraryResponse:
    """Return one video by id or name, with what was observed in it."""
    row = find_video(context, video)
    observed = describe_observed(context, row)
    recording = recordings(context.catalog.videos.list()).get(row.id)
    item = describe_video(context, row, recording=recording)
    return LibraryResponse(videos=[item.model_copy(update={"observed": observed})])


def rename_video(context: ServiceContext, video: VideoRow, name: str) -> VideoRow:
    """Give a video another name; one that is taken gets a number behind it."""
    row = context.catalog.videos.rename(video.id, check_name(name))
    save_sidecar(context, row)
    return row


def change_video(
    context: ServiceContext,
    video: VideoRow,
    *,
    name: str | None = None,
    clock: ClockChange = NO_CHANGE,
    camera: str | None = None,
    leaves_camera: bool = False,
    add_tags: Collection[str] = (),
    remove_tags: Collection[str] = (),
) -> VideoRow:
    """Change name, wall clock, camera and tags of a video; nothing is read again.

    Args:
        camera: The camera whose timeline it is a part of, as `find_camera` takes it.
        leaves_camera: Whether it is a part of none any more.

    Raises:
        InputRefusedError: One of the values is not allowed; nothing is changed then.
    """
    if name is not None:
        check_name(name)
    changed_tags(video, add=add_tags, remove=remove_tags)
    owner = None if camera is None else find_camera(context, camera)
    row = change_clock(context, video, clock)
    row = tag_video(context, row, add=add_tags, remove=remove_tags)
    if owner is not None or leaves_camera:
        row = set_camera(context, row, owner)
    return row if name is None else rename_video(context, row, name)


def set_camera(context: ServiceContext, video: VideoRow, camera: CameraRow | None) -> VideoRow:
    """Put a file of a recorder on the timeline of its camera.

    Raises:
        InputRefusedError: It was filmed here, and its recording lies with its camera.
    """
    owner = None if camera is None else camera.id
    if owner == video.camera:
        return video
    if is_live_uri(video.uri):
        raise InputRefusedError(
            f"{video.name} was filmed from its camera", hint="only files can be moved to another"
        )
    row = context.catalog.videos.set_camera(video.id, owner)
    save_sidecar(context, row)
    return row


def remove_video(
    context: ServiceContext, video: VideoRow, *, keeps_recording: bool = False
) -> MessageResponse:
    """Delete a video: jobs, latents, index, stills and rows; a file outside the library stays.

    Killed anywhere, the video is there as before or gone; `finish_removals` deletes the rest.

    Args:
        keeps_recording: Whether what its camera recorded stays, to be played by the wall clock.
    """
    for job in context.catalog.jobs.list("queued", "running", video=video.id):
        context.catalog.jobs.cancel(job.id)
    engine = context.engine
    context.catalog.videos.set_status(video.id, "removing")
    engine.forget(video.id)
    context.stills.forget(video.id)
    home = HomeFolder(context.settings.home)
    is_uploaded = home.remove_video(video.id, video.uri)
    is_recorded = video.camera is not None and not keeps_recording
    files = context.catalog.segments.of_video(video.id) if is_recorded else ()
    recorded = [home.recording(file.camera, file.name) for file in files]
    remove_video_objects(context, video, recorded)
    if is_recorded and video.camera is not None:
        context.catalog.segments.remove(video.camera, [file.name for file in files])
    context.catalog.videos.remove(video.id)
    fate = "its upload is deleted" if is_uploaded else f"{video.uri} was left alone"
    return MessageResponse(message=f"{video.name} is deleted; {fate}")


def finish_removals(context: ServiceContext) -> None:
    """Remove the rest of videos whose removal was interrupted."""
    for row in context.catalog.videos.list("removing"):
        # Another process may be removing it at this moment.
        with suppress(NotFoundError):
            remove_video(context, row)


def export_clip(
    context: ServiceContext,
    video: VideoRow,
    span_s: tuple[float, float],
    path: Path,
    *,
    most_s: float | None = None,
    may_replace: bool = False,
) -> MessageResponse:
    """Cut a clip out of the original, copying packets where the container allows it.

    Args:
        span_s: Start and end in seconds of media time.
        path: The MP4 file to write.
        most_s: The longest clip allowed; any when `None`.
        may_replace: Whether a file that is there already is overwritten.
    Raises:
        InputRefusedError: The span is empty, too long or outside the video, or the file is there.
    """
    # Late: the decoder and torch, which a list of videos does without.
    from app.config.engine_config import media_limits
    from app.services.playback import recorded_span
    from engine.media.clip import cut

    start_s, end_s = span_s
    if end_s <= start_s:
        raise InputRefusedError(f"the clip ends at {end_s:g} s, before it starts at {start_s:g} s")
    if most_s is not None and end_s - start_s > most_s:
        raise InputRefusedError(
            f"the clip has {end_s - start_s:g} s, the limit is {most_s:g} s",
            hint="`longwatch videos export` cuts longer ones",
        )
    length_s = video.duration_s
    if start_s < 0 or (length_s is not None and start_s >= length_s):
        raise InputRefusedError(
            f"the clip starts at {start_s:g} s, outside {video.name}, which has {length_s:g} s"
            if length_s is not None
            else f"the clip starts at {start_s:g} s, before {video.name} begins",
            hint="times count from the start of the video",
        )
    if path.exists() and not may_replace:
        raise InputRefusedError(f"{path} is there already", hint="--force overwrites it")
    limits = media_limits(context.settings, video.video_track)
    span = TimeSpan(start_s=start_s, end_s=end_s)
    if video.camera is not None and is_live_uri(video.uri):
        with recorded_span(context, video, span) as (file, inside):
            clip = cut(str(file), inside, path, limits=limits)
        behind_s = span.end_s - inside.end_s
        kept = TimeSpan(start_s=clip.span.start_s + behind_s, end_s=clip.span.end_s + behind_s)
    else:
        with held_file(context, original_path(context, video)) as original:
            clip = cut(str(original), span, path, limits=limits)
        kept = clip.span
    moment = describe_span(video.id, kept, context.labels())
    how = "encoded again" if clip.reencoded else "copied"
    return MessageResponse(
        message=f"{path} holds {moment.start} to {moment.end} of {video.name}, {how}"
    )


def describe_video(
    context: ServiceContext,
    row: VideoRow,
    access: Access = FULL_ACCESS,
    *,
    recording: RecordingItem | None = None,
) -> LibraryItem:
    """Return a video of the library as its document.

    Args:
        access: Of whoever reads it; to viewers the source is a file's name, or a camera.
    """
    uri = row.uri
    if access.granted is not None:
        uri = "camera" if is_live_uri(uri) else Path(uri).name
    return LibraryItem(
        video_id=row.id,
        name=row.name,
        status=row.status,
        duration_s=row.duration_s,
        start_at=wall_clock(row.start_at, 0.0, context.settings.media.zone(row.timezone)),
        start_source=row.start_source or "none",
        timezone=row.timezone,
        camera_id=row.camera,
        tags=[*row.tags],
        recording=recording,
        uri=uri,
        chunks=row.n_chunks,
        latent_bytes=row.latent_bytes,
        fps=row.sample_fps,
        compression_ratio=row.compression_ratio,
        warnings=[visible_text(text, access) or "" for text in row.warnings],
        error=None if row.failure is None else visible_text(row.failure.message, access),
    )
