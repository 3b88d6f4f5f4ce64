"""Feeds that are read as single videos: what a feed showed is not shown again."""

from app.config.engine_config import media_limits
from app.config.settings import Settings
from app.sandbox.reader import probe_foreign
from app.services.cameras import keep_address, resolve_references
from app.services.context import ServiceContext
from app.services.resume import INTERRUPTED, bring_rows_up
from app.services.sidecar import save_sidecar
from app.services.wall_clock import kept_zone
from engine.errors import LongwatchError, SoundOnlyError
from engine.media.address import is_live_uri, redact
from engine.records import MediaInfo
from storage.records import StartClock, VideoRow, VideoStatus


def is_feed(video: VideoRow) -> bool:
    """Return whether a video was shown once, at its own pace; a file at an address stays there."""
    return is_live_uri(video.uri) and (video.media is None or video.media.is_live)


def add_feed(
    context: ServiceContext,
    source: str,
    *,
    name: str | None,
    clock: StartClock | None,
    timezone: str | None,
) -> VideoRow:
    """Probe a feed and write it down as a video of its own; its secrets are kept apart."""
    videos = context.catalog.videos
    video = videos.add(
        name=name or redact(source),
        uri=redact(source),
        media=probe_source(resolve_references(context, source), context.settings),
        clock=clock,
        timezone=kept_zone(context.settings, clock, timezone),
    )
    try:
        keep_address(context, video, source)
    except LongwatchError:
        videos.remove(video.id)
        raise
    return video


def ended_feed(context: ServiceContext, video: VideoRow) -> VideoRow | None:
    """Return the video of a feed that was read before, as it is; `None` where nothing is kept.

    What it showed cannot be read again, and what it shows now is of another time.
    """
    if video.fingerprint == context.engine.fingerprint:
        bring_rows_up(context, video, is_resumed=True)
    video = context.catalog.videos.get(video.id)
    if not video.n_chunks:
        return None
    if video.status in INTERRUPTED:
        video = context.catalog.videos.end_ingest(video.id, "ready", wall_s=0.0)
        save_sidecar(context, video)
    return video


def status_of_stopped(context: ServiceContext, video: VideoRow) -> VideoStatus:
    """Return what a video is that was stopped before its end: of a feed, that is its end."""
    has_chunks = context.catalog.videos.get(video.id).n_chunks > 0
    return "ready" if is_feed(video) and has_chunks else "queued"


def probe_source(source: str, settings: Settings, video_track: int | None = None) -> MediaInfo:
    """Return the facts of a source; one of sound alone is taken, for a model that hears."""
    limits = media_limits(settings, video_track)
    try:
        return probe_foreign(source, limits)
    except SoundOnlyError:
        return probe_foreign(source, limits, sound_only=True)
