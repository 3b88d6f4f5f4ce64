"""Archives made again: by another model, another encoder, other observers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.services.access import find_camera, find_video
from app.services.context import ServiceContext
from app.services.ingest_jobs import enqueue_ingest
from app.services.library_query import LibraryQuery, find_videos
from app.services.observe import enqueue_observe, is_observed
from app.services.timelines import parts_of
from app.services.vectors import STAGE as VECTORS
from engine.errors import NotFoundError
from engine.media.address import is_live_uri
from engine.records import Fingerprint
from engine.sight.observer import kind_of
from storage.records import JobRow, VideoRow

_UNFINISHED: Final = frozenset({"queued", "ingesting", "removing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprocessOrder:
    """The parts that are made again: all that is out of date where none is named."""

    latents: bool = False
    """Videos that another model has read, or this one with other settings, are read again."""
    vectors: bool = False
    """Stills that an encoder of the settings has not seen are encoded."""
    observers: tuple[str, ...] = ()
    again: bool = False
    """Whether observers begin anew; else each goes on from where it stopped."""

    @property
    def is_open(self) -> bool:
        """Whether nothing is named."""
        return not (self.latents or self.vectors or self.observers)


def choose_videos(
    context: ServiceContext,
    videos: Sequence[str] = (),
    *,
    tags: Sequence[str] = (),
    cameras: Sequence[str] = (),
) -> tuple[VideoRow, ...]:
    """Return the videos that are named, or have all of some tags, or were filmed by a camera.

    Raises:
        NotFoundError: No such video or camera, or there is none.
    """
    chosen = [find_video(context, video) for video in videos]
    for camera in cameras:
        chosen += parts_of(context, find_camera(context, camera))
    if not videos and not cameras:
        chosen += find_videos(context, LibraryQuery(sort="name"))
    rows = {row.id: row for row in chosen if {*tags} <= {*row.tags}}
    if not rows:
        raise NotFoundError(
            "no video is chosen", hint="`longwatch videos list` shows what there is"
        )
    return tuple(rows.values())


def check_order(order: ReprocessOrder) -> None:
    """Refuse observers that are not there, before anything is begun.

    Raises:
        NotFoundError: No such observer.
    """
    for observer in order.observers:
        kind_of(observer)


def enqueue_reprocess(
    context: ServiceContext, video: VideoRow, order: ReprocessOrder, fingerprint: Fingerprint
) -> tuple[JobRow | None, str | None]:
    """Queue the first job of what is to be made again of a video.

    What follows the reading of a video, vectors and observers, is queued by the reading itself.

    Args:
        fingerprint: The pipeline that reads from now on.
    Returns:
        The job, `None` where there is nothing to do; and why something is left out, if it is.
    """
    if video.status in _UNFINISHED:
        return None, f"{video.name} is not read to its end yet, and left to whoever reads it"
    reads = (order.latents or order.is_open) and video.fingerprint != fingerprint
    why = None
    if reads and is_live_uri(video.uri):
        why = f"{video.name}: what a camera showed is not read again; its latents stay as they are"
    elif reads:
        return enqueue_ingest(context, video), None
    return _enqueue_observing(context, video, order), why


def _enqueue_observing(
    context: ServiceContext, video: VideoRow, order: ReprocessOrder
) -> JobRow | None:
    if order.is_open:
        return None if is_observed(context, video) else enqueue_observe(context, video)
    stages = (*((VECTORS,) if order.vectors else ()), *order.observers)
    return enqueue_observe(context, video, stages, again=order.again) if stages else None
