"""The timeline of a camera: its parts in the order of the wall clock, and the gaps between them.

A part is a video: what one connection to the camera brought, or a file of its recorder. Between two
parts nobody filmed, and nothing is known; that is shown as a gap, never as an hour without events.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.schemas.common import GapItem
from app.services.context import ServiceContext
from app.services.recordings import in_filmed_order
from app.timefmt import wall_clock
from engine.records import Scope, TimeSpan, VideoId
from storage.camera_records import CameraRow
from storage.records import CameraId, VideoRow

LEAST_GAP_S: Final = 2.0
"""Between two files of a recorder up to two seconds are lost, or names hold whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of a timeline."""

    start_at: datetime
    end_at: datetime
    video: VideoId | None
    """The part that was filmed then; `None` of a gap."""


def parts_of(context: ServiceContext, camera: CameraRow) -> tuple[VideoRow, ...]:
    """Return the videos of a camera as they were filmed."""
    return in_filmed_order(row for row in context.catalog.videos.list() if row.camera == camera.id)


def parts_by_camera(context: ServiceContext) -> dict[CameraId, tuple[VideoRow, ...]]:
    """Return the videos of every camera that has any, as they were filmed."""
    filmed: defaultdict[CameraId, list[VideoRow]] = defaultdict(list)
    for row in context.catalog.videos.list():
        if row.camera is not None:
            filmed[row.camera].append(row)
    return {camera: in_filmed_order(rows) for camera, rows in filmed.items()}


def stretches(
    parts: Sequence[VideoRow],
    *,
    after: datetime | None = None,
    before: datetime | None = None,
) -> tuple[Stretch, ...]:
    """Return what was filmed and what was not, in order.

    Args:
        parts: In the order of the wall clock; those without one are left out.
        after: Where the timeline begins; with the first part when `None`. Earlier ones are cut.
        before: Where it ends; with the last part when `None`.
    """
    return tuple(_stretches(parts, after, before))


def gaps_in_scope(context: ServiceContext, scope: Scope) -> list[GapItem]:
    """Return the gaps of cameras that a scope leads over: nobody knows what happened there.

    Between two parts that are both looked at to their edges, or up to a bound behind the last one;
    so the day between two nights is none.
    """
    rows = context.catalog.videos.by_id()
    filmed = [(rows[video], span) for video, span in scope if video in rows]
    wanted = {row.camera for row, _ in filmed if row.camera is not None}
    if not wanted:
        return []
    return [
        gap
        for camera in context.catalog.cameras.list()
        if camera.id in wanted
        for gap in _gaps_led_over(
            context, camera, [(row, span) for row, span in filmed if row.camera == camera.id]
        )
    ]


def _gaps_led_over(
    context: ServiceContext, camera: CameraRow, spans: Sequence[tuple[VideoRow, TimeSpan]]
) -> Iterator[GapItem]:
    zone = context.settings.media.zone(camera.timezone)
    starts = {row.id for row, span in spans if span.start_s <= 0}
    ends = {row.id: span.end_s for row, span in spans if span.end_s >= row.ingested_s}
    line = [part for part in parts_of(context, camera) if part.start_at is not None]
    for part, following in zip(line, [*line[1:], None], strict=True):
        start_at, bound_s = part.at(part.ingested_s), ends.get(part.id)
        if start_at is None or bound_s is None:
            continue
        bound_at = None if math.isinf(bound_s) else part.at(bound_s)
        end_at = None if following is None else following.start_at
        if following is None and bound_at is None and camera.state == "live":
            continue
        if following is not None and following.id not in starts and bound_at is None:
            continue
        until = min((moment for moment in (end_at, bound_at) if moment), default=None)
        if until is None or until - start_at > timedelta(seconds=LEAST_GAP_S):
            yield GapItem(
                camera=camera.name,
                start_at=wall_clock(start_at, 0.0, zone) or "",
                end_at=wall_clock(until, 0.0, zone),
            )


def _stretches(
    parts: Sequence[VideoRow], after: datetime | None, before: datetime | None
) -> Iterator[Stretch]:
    least = timedelta(seconds=LEAST_GAP_S)
    reached = after
    for part in parts:
        end_at = part.at(part.ingested_s)
        if part.start_at is None or end_at is None:
            continue
        start_at = part.start_at
        if after is not None:
            start_at = max(start_at, after)
        if before is not None:
            start_at, end_at = min(start_at, before), min(end_at, before)
        if end_at <= start_at:
            continue
        if reached is not None and start_at - reached > least:
            yield Stretch(start_at=reached, end_at=start_at, video=None)
        yield Stretch(start_at=start_at, end_at=end_at, video=part.id)
        reached = end_at if reached is None else max(reached, end_at)
    if before is not None and reached is not None and before - reached > least:
        yield Stretch(start_at=reached, end_at=before, video=None)
