"""The library: list, show, rename and remove videos, cut clips."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.schemas.common import MessageResponse, describe_span
from app.schemas.videos import LibraryItem, LibraryResponse, TimelineChunk, TimelineResponse
from app.services.access import FULL_ACCESS, Access, find_video, visible_text, visible_videos
from app.services.context import ServiceContext
from app.services.sidecar import save_sidecar
from engine.errors import InputRefusedError, NotFoundError
from engine.media.address import is_live_uri
from engine.records import TimeSpan
from storage.files import HomeFolder
from storage.records import LibraryTotals, PageCursor, VideoRow

MAX_NAME_CHARS = 120


def check_name(name: str) -> str:
    """Return the name of a video without spaces around it.

    Raises:
        InputRefusedError: It is empty, too long, or holds control characters.
    """
    shown = name.strip()
    if not 0 < len(shown) <= MAX_NAME_CHARS or not shown.isprintable():
        raise InputRefusedError(
            f"{shown[:MAX_NAME_CHARS]!r} cannot be the name of a video",
            hint=f"use 1 to {MAX_NAME_CHARS} characters on one line",
        )
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryPage:
    """Some videos in the order of a list, newest first."""

    rows: tuple[VideoRow, ...]
    has_more: bool
    totals: LibraryTotals
    """Over all pages."""


def list_page(
    context: ServiceContext, access: Access, *, limit: int | None, behind: PageCursor | None
) -> LibraryPage:
    """Return the videos that someone may see, newest first.

    Args:
        limit: The most on a page; all when `None`.
        behind: The end of the page before; the first page when `None`.
    Raises:
        InputRefusedError: A place in the list without a limit.
    """
    totals = context.catalog.videos.totals(access.granted)
    if limit is None:
        if behind is not None:
            raise InputRefusedError("a cursor goes with a limit", hint="add limit=100")
        rows = tuple(reversed(visible_videos(context, access)))
        return LibraryPage(rows=rows, has_more=False, totals=totals)
    rows = context.catalog.videos.page(limit + 1, behind=behind, among=access.granted)
    return LibraryPage(rows=rows[:limit], has_more=len(rows) > limit, totals=totals)


def show_timeline(context: ServiceContext, row: VideoRow, query: str = "") -> TimelineResponse:
    """Return the activity of every chunk of a video, and how similar each is to a query."""
    # Late: torch, which a list of videos does without.
    from app.services.ask import check_text
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


def list_videos(context: ServiceContext) -> LibraryResponse:
    """Return the library, oldest video first."""
    return LibraryResponse(videos=[describe_video(row) for row in context.catalog.videos.list()])


def show_video(context: ServiceContext, video: str) -> LibraryResponse:
    """Return one video by id or name."""
    return LibraryResponse(videos=[describe_video(find_video(context, video))])


def rename_video(context: ServiceContext, video: VideoRow, name: str) -> VideoRow:
    """Give a video another name; one that is taken gets a number behind it."""
    row = context.catalog.videos.rename(video.id, check_name(name))
    save_sidecar(context, row)
    return row


def remove_video(context: ServiceContext, video: VideoRow) -> MessageResponse:
    """Delete a video: jobs, latents, index, stills and rows; a file outside the library stays.

    Killed anywhere, the video is there as before or gone; `finish_removals` deletes the rest.
    """
    for job in context.catalog.jobs.list("queued", "running", video=video.id):
        context.catalog.jobs.cancel(job.id)
    engine = context.engine
    context.catalog.videos.set_status(video.id, "removing")
    engine.forget(video.id)
    is_uploaded = HomeFolder(context.settings.home).remove_video(video.id, video.uri)
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
    from engine.media.clip import cut

    start_s, end_s = span_s
    if end_s <= start_s:
        raise InputRefusedError(f"the clip ends at {end_s} s, before it starts at {start_s} s")
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
    limits = media_limits(context.settings)
    clip = cut(video.uri, TimeSpan(start_s=start_s, end_s=end_s), path, limits=limits)
    moment = describe_span(video.id, clip.span, context.labels())
    how = "encoded again" if clip.reencoded else "copied"
    return MessageResponse(
        message=f"{path} holds {moment.start} to {moment.end} of {video.name}, {how}"
    )


def describe_video(row: VideoRow, access: Access = FULL_ACCESS) -> LibraryItem:
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
        start_at=None if row.start_at is None else row.start_at.isoformat(),
        uri=uri,
        chunks=row.n_chunks,
        latent_bytes=row.latent_bytes,
        fps=row.sample_fps,
        compression_ratio=row.compression_ratio,
        warnings=[visible_text(text, access) or "" for text in row.warnings],
        error=None if row.failure is None else visible_text(row.failure.message, access),
    )
