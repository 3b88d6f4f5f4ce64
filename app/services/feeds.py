"""Feeds that are read as single videos: what a feed showed is not shown again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from app.config.engine_config import media_limits
from app.config.settings import Settings
from app.sandbox.reader import SandboxedReader, probe_foreign
from app.services.cameras import keep_address, kept_address, resolve_references
from app.services.context import ServiceContext
from app.services.resume import INTERRUPTED
from app.services.wall_clock import kept_zone
from engine.errors import LongwatchError, SoundOnlyError
from engine.media.address import is_live_uri, redact
from engine.media.frame import Frame
from engine.pipeline.resume import ResumePoint
from engine.records import MediaInfo, SampleStats
from storage.records import StartClock, VideoRow

_LEAST_GAP_S: Final = 0.001
"""Between the last frame of one connection and the first of the next."""


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
    """Probe a feed and write it down; one whose reading was stopped is the same video, and goes on.

    Its secrets are kept apart.
    """
    videos = context.catalog.videos
    known = _interrupted(context, source)
    if known is not None and name in {None, known.name} and clock is None:
        return known
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


def _interrupted(context: ServiceContext, source: str) -> VideoRow | None:
    """Return the video of a feed whose reading was stopped and goes on; `None` where none does.

    What another pipeline has read of it stays as it is: it is not shown again.
    """
    known = context.catalog.videos.find_at(redact(source))
    if known is None or known.camera is not None or known.status not in INTERRUPTED:
        return None
    if kept_address(context, known) != source:
        return None
    is_same = known.fingerprint in {None, context.engine.fingerprint}
    return known if is_same or not known.n_chunks else None


class LaterFrames:
    """The frames of a feed that is read on, at the times at which they are shown on its clock.

    A feed counts from each connection; between two of them nobody looked, and that stays a gap.
    """

    def __init__(self, reader: SandboxedReader, behind_s: float) -> None:
        self._reader = reader
        self._behind_s = behind_s

    @property
    def info(self) -> MediaInfo:
        """The source as far as it is known."""
        return self._reader.info

    @property
    def stats(self) -> SampleStats:
        """Counts of this connection."""
        return self._reader.stats

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._reader:
            yield replace(frame, pts_s=frame.pts_s + self._behind_s)


def elapsed_s(video: VideoRow, point: ResumePoint, now: datetime) -> float:
    """Return how far behind its beginning a feed is that is read on now; never before its end.

    A clock that somebody has set may be of another time, and says nothing of when it was read.
    """
    assert point.after_s is not None, "something was read of it"
    least_s = point.after_s + _LEAST_GAP_S
    if video.start_at is None or video.start_source != "live":
        return least_s
    return max(least_s, (now - video.start_at).total_seconds())


def probe_source(source: str, settings: Settings, video_track: int | None = None) -> MediaInfo:
    """Return the facts of a source; one of sound alone is taken, for a model that hears."""
    limits = media_limits(settings, video_track)
    try:
        return probe_foreign(source, limits)
    except SoundOnlyError:
        return probe_foreign(source, limits, sound_only=True)
