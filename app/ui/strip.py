"""The timeline of one video: its activity, and what was observed in it, as lanes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from app.schemas.observations import ObservationItem
from app.schemas.videos import VideoItem
from app.services.access import Access, find_video
from app.services.context import ServiceContext
from app.services.library import show_timeline
from app.services.observations import list_observations
from app.ui.components.player import PlayerSpan
from app.ui.components.timeline import (
    ActivityBar,
    LaneKind,
    LaneSpan,
    TimelineLane,
    TimelineState,
)

NAMES: Final[dict[str, str]] = {"motion": "movement", "text": "print", "speech": "speech"}
"""Kinds of observations, as people know them."""
_WITHOUT_LABELS: Final[tuple[LaneKind, ...]] = ("motion", "text", "speech")
MOST_LABELS: Final = 3
"""Things that have a lane of their own; the others share one."""
LABEL_CHARS: Final = 80


def draw_strip(
    context: ServiceContext, access: Access, video: VideoItem, query: str = ""
) -> TimelineState:
    """Return the timeline of a video.

    Args:
        query: What every chunk is compared with.
    Raises:
        NotFoundError: No such video.
    """
    line = show_timeline(context, find_video(context, video.video_id, access), query)
    rows = list_observations(context, video.video_id, access=access).observations
    return TimelineState(
        video_id=video.video_id,
        duration_s=line.duration_s,
        read_s=line.ingested_s if video.status != "ready" else None,
        start_at=video.start_at,
        activity=tuple(
            ActivityBar(
                start_s=chunk.start_s,
                end_s=chunk.end_s,
                level=chunk.activity_shown,
                similarity=chunk.similarity,
            )
            for chunk in line.chunks
        ),
        lanes=tuple(_lanes(rows)),
        names=f"Timeline of {video.name}",
    )


def strip_stamp(video: VideoItem, n_observed: int) -> str:
    """Return what changes whenever the timeline of a video does."""
    return f"{video.video_id} {video.chunks} {video.status} {n_observed}"


def marks_of(spans: Iterable[PlayerSpan], video_id: str) -> list[list[float]]:
    """Return the spans of one video as the timeline marks them."""
    return [[span.start_s, span.end_s] for span in spans if span.video_id == video_id]


def _lanes(rows: Sequence[ObservationItem]) -> Iterable[TimelineLane]:
    things = [row for row in rows if row.kind == "object"]
    common = [label for label, _ in Counter(row.label for row in things).most_common(MOST_LABELS)]
    for label in common:
        yield _lane(label, "object", [row for row in things if row.label == label])
    if others := [row for row in things if row.label not in common]:
        yield _lane("other things", "object", others)
    for kind in _WITHOUT_LABELS:
        if kept := [row for row in rows if row.kind == kind]:
            yield _lane(NAMES[kind], kind, kept)


def _lane(name: str, kind: LaneKind, rows: Sequence[ObservationItem]) -> TimelineLane:
    spans = tuple(LaneSpan(start_s=row.start_s, end_s=row.end_s, label=_label(row)) for row in rows)
    return TimelineLane(name=name, kind=kind, spans=spans)


def _label(row: ObservationItem) -> str:
    if row.text:
        return f"“{row.text[:LABEL_CHARS]}”"
    return " ".join(filter(None, [*row.colours[:1], row.label, row.heading]))
