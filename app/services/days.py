"""Days as the clocks of the videos have them: a calendar, and everything of one day side by side.

Decision: a day is local time where each video was filmed, as bounds and hours of the day are. What
begins before midnight and goes on is on both days. `clock_s` counts from the digits of that clock,
because people read those; on the day that a zone changes its offset a stretch keeps the digits of
its start.
Decision: lanes name their source by a key: what one camera has filmed is one lane, the parts of a
recording share one, and another video has its own. A viewer who was granted a part of a camera, but
not the camera, sees that part by its own name.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from app.schemas.common import VideoLabels, describe_span
from app.schemas.days import (
    ComparedDaysResponse,
    ComparedSource,
    DayCount,
    DayEvent,
    DayItem,
    DayLane,
    DayResponse,
    DaysResponse,
    DayStretch,
)
from app.schemas.videos import RecordingItem
from app.services.access import (
    FULL_ACCESS,
    Access,
    find_video,
    visible_cameras,
    visible_videos,
)
from app.services.context import ServiceContext
from app.services.recordings import recordings
from app.services.scope import known_s
from app.timefmt import local_moment
from engine.errors import InputRefusedError
from engine.records import Observation, TimeSpan, VideoId
from storage.records import CameraId, VideoRow

MIDNIGHT: Final = time()
NOON: Final = time(12)
JOIN_S: Final = 20.0
"""Observations of one label nearer than this are one event: a track breaks behind a post."""
MOST_EVENTS: Final = 2_000
"""Events of a lane; a busy street has more visits in a day, and the surest are kept."""
_KINDS: Final = {"motion": "movement", "text": "print", "speech": "speech"}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH: Final = re.compile(r"\d{4}-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The part of a video that lies on a day."""

    row: VideoRow
    span: TimeSpan
    day: date
    clock_s: float
    """Seconds of the day when it begins."""


def parse_date(text: str) -> date:
    """Return a day of the calendar.

    Raises:
        InputRefusedError: It is none.
    """
    try:
        if not _DATE.fullmatch(text.strip()):
            raise ValueError(text)
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise InputRefusedError(f"{text!r} is no day", hint="write it as 2026-03-01") from error


def day_view(
    context: ServiceContext,
    day: str,
    *,
    videos: Sequence[str] = (),
    night: bool = False,
    access: Access = FULL_ACCESS,
) -> DayResponse:
    """Return what was filmed on a day, and what was seen in it.

    Args:
        day: As `2026-03-01`, in local time where each video was filmed.
        night: Whether the night that begins on that day is meant, from noon to noon.
        videos: As `find_video` takes them; all that can be seen when empty.
    Raises:
        InputRefusedError: This is no day.
        NotFoundError: A video that is not there.
    """
    wanted = parse_date(day)
    rows = [find_video(context, video, access) for video in videos]
    parts = [
        part
        for row in (rows if videos else visible_videos(context, access))
        for part in _parts(context, row, NOON if night else MIDNIGHT)
        if part.day == wanted
    ]
    labels = context.labels()
    observations = context.catalog.observations.list([(part.row.id, part.span) for part in parts])
    by_video: dict[VideoId, list[Observation]] = defaultdict(list)
    for observation in observations if parts else ():
        by_video[observation.video].append(observation)
    places = recordings(visible_videos(context, access))
    cameras = {camera.id: camera.name for camera in visible_cameras(context, access)}
    lanes: dict[str, DayLane] = {}
    for part in sorted(parts, key=lambda part: (part.clock_s, part.row.id)):
        key, name = _source(part.row, cameras, places)
        lane = lanes.setdefault(key, DayLane(key=key, name=name, stretches=[], events=[]))
        lane.stretches.append(DayStretch(**_described(part, part.span, labels)))
        lane.events += _events(part, by_video[part.row.id], labels)
    return DayResponse(
        date=wanted.isoformat(),
        is_night=night,
        filmed_s=sum(part.span.duration_s for part in parts),
        lanes=list(lanes.values()),
    )


def _source(
    row: VideoRow, cameras: Mapping[CameraId, str], places: Mapping[VideoId, RecordingItem]
) -> tuple[str, str]:
    """Return the key and the name of the lane that a video lies in."""
    if row.camera is not None and row.camera in cameras:
        return f"camera {row.camera}", cameras[row.camera]
    if row.id in places:
        return f"recording {places[row.id].name}", places[row.id].name
    return row.id, row.name


def compare_days(day: DayResponse, other: DayResponse) -> ComparedDaysResponse:
    """Return what was filmed and how often what was seen on two days, source by source."""
    first, second = ({lane.key: lane for lane in both.lanes} for both in (day, other))
    return ComparedDaysResponse(
        dates=[day.date, other.date],
        sources=[_compared(key, [first.get(key), second.get(key)]) for key in {**first, **second}],
    )


def _compared(key: str, lanes: Sequence[DayLane | None]) -> ComparedSource:
    counts = [Counter(map(_seen, lane.events)) if lane else Counter() for lane in lanes]
    return ComparedSource(
        key=key,
        name=next(lane.name for lane in lanes if lane),
        filmed_s=[
            sum(row.end_s - row.start_s for row in lane.stretches) if lane else 0.0
            for lane in lanes
        ],
        seen=[
            DayCount(what=what, counts=[count[what] for count in counts])
            for what, _ in sum(counts, Counter[str]()).most_common()
        ],
    )


def _seen(event: DayEvent) -> str:
    """Return the thing that was seen; of words, and of movement, what kind of event it is."""
    return event.label if event.kind == "object" else _KINDS[event.kind]


def list_days(
    context: ServiceContext,
    month: str | None = None,
    *,
    night: bool = False,
    access: Access = FULL_ACCESS,
) -> DaysResponse:
    """Return the days of which there is footage, in local time where it was filmed.

    Args:
        month: Only those of a month, as `2026-03`.
        night: Whether nights are counted, as in `day_view`.
    Raises:
        InputRefusedError: This is no month.
    """
    if month is not None and not _MONTH.fullmatch(month):
        raise InputRefusedError(f"{month!r} is no month", hint="write it as 2026-03")
    filmed: dict[str, list[float]] = defaultdict(list)
    for row in visible_videos(context, access):
        for part in _parts(context, row, NOON if night else MIDNIGHT):
            filmed[part.day.isoformat()].append(part.span.duration_s)
    return DaysResponse(
        days=[
            DayItem(date=day, videos=len(lengths), filmed_s=sum(lengths))
            for day, lengths in sorted(filmed.items())
            if month is None or day.startswith(f"{month}-")
        ]
    )


def _parts(context: ServiceContext, row: VideoRow, begins: time) -> Iterator[_Part]:
    """Yield the parts of a video, a day each; none of a video without a clock.

    Args:
        begins: Time of day with which a day begins: `MIDNIGHT`, or `NOON` of nights.
    """
    end_s = known_s(row)
    if row.start_at is None or end_s <= 0:
        return
    zone = context.settings.media.zone(row.timezone)
    start_s = 0.0
    while start_s < end_s:
        local = local_moment(row.start_at, start_s, zone)
        left_s = _until_next_s(local, begins)
        span = TimeSpan(start_s=start_s, end_s=min(end_s, start_s + max(left_s, 1.0)))
        clock_s = (local.hour - begins.hour) % 24 * 3600.0 + local.minute * 60 + local.second
        is_before = local.time() < begins and local.date() > date.min
        day = local.date() - timedelta(days=1) if is_before else local.date()
        yield _Part(row=row, span=span, day=day, clock_s=clock_s + local.microsecond / 1e6)
        start_s = span.end_s


def _until_next_s(local: datetime, begins: time) -> float:
    """Return the seconds until a time of day comes next."""
    if local.date() == date.max:
        return math.inf
    day = local.date() + timedelta(days=local.time() >= begins)
    # Both in UTC: the difference of local times would count an hour that was skipped.
    return datetime.combine(day, begins, local.tzinfo).timestamp() - local.timestamp()


def _described(part: _Part, span: TimeSpan, labels: VideoLabels) -> dict[str, Any]:
    clock_s = part.clock_s + span.start_s - part.span.start_s
    return {**describe_span(part.row.id, span, labels).model_dump(), "clock_s": clock_s}


def _events(part: _Part, rows: Sequence[Observation], labels: VideoLabels) -> list[DayEvent]:
    """Return observations as events, in time order."""
    runs: list[list[Observation]] = []
    open_runs: dict[tuple[str, str], list[Observation]] = {}
    for row in sorted(rows, key=lambda row: row.span.start_s):
        # Words are never the same thing twice.
        key = (row.kind, row.label) if not row.text else (row.kind, row.text)
        run = open_runs.get(key)
        if run is not None and row.span.start_s - max(r.span.end_s for r in run[-8:]) <= JOIN_S:
            run.append(row)
            continue
        open_runs[key] = [row]
        runs.append(open_runs[key])
    if len(runs) > MOST_EVENTS:
        runs.sort(key=lambda run: -max(row.confidence for row in run))
        runs = sorted(runs[:MOST_EVENTS], key=lambda run: run[0].span.start_s)
    return [_event(part, run, labels) for run in runs]


def _event(part: _Part, run: Sequence[Observation], labels: VideoLabels) -> DayEvent:
    surest = max(run, key=lambda row: row.confidence)
    start_s = max(part.span.start_s, run[0].span.start_s)
    end_s = min(part.span.end_s, max(row.span.end_s for row in run))
    span = TimeSpan(start_s=start_s, end_s=max(start_s, end_s))
    return DayEvent(
        **_described(part, span, labels),
        kind=surest.kind,
        label=surest.label,
        text=run[0].text,
        count=len(run),
        peak_s=surest.peak_s,
    )
