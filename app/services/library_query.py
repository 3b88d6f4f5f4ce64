"""The library as a list that is searched, filtered and sorted; which tags, cameras and things it
holds.

Decision: over the records that are kept in memory, because two thousand of them are passed in
milliseconds, and a camera's name and the day of a clock are known to no column.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, get_args

from app.schemas.videos import RecordingItem
from app.services.access import FULL_ACCESS, Access, visible_videos
from app.services.context import ServiceContext
from app.services.recordings import recordings
from app.timefmt import wall_clock
from engine.errors import InputRefusedError
from engine.media.address import is_live_uri
from engine.records import VideoId
from storage.records import CameraId, LabelTally, VideoRow

Sort = Literal["newest", "filmed", "name", "longest"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryQuery:
    """Videos to list; everything where nothing is said, the newest first."""

    text: str = ""
    """Words that all stand in the name, the name of the file, or the tags."""
    tags: tuple[str, ...] = ()
    """All of them."""
    camera: str = ""
    """A live source, or a recording that a camera has cut into files."""
    observed: str = ""
    """A label such as `person`, or a kind such as `speech`."""
    since: date | None = None
    """The first day, where it was filmed; the day on which it was added where it has no clock."""
    until: date | None = None
    """The last day."""
    sort: Sort = "newest"


NO_QUERY: Final = LibraryQuery()


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFacets:
    """Values to filter by, the most frequent first."""

    tags: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    """Labels and kinds."""


def find_videos(
    context: ServiceContext, query: LibraryQuery = NO_QUERY, access: Access = FULL_ACCESS
) -> tuple[VideoRow, ...]:
    """Return the videos of a query that someone may see, in its order."""
    rows = visible_videos(context, access)
    tests = [*_tests(context, query, rows)]
    kept = [row for row in rows if all(test(row) for test in tests)]
    kept.sort(key=lambda row: (row.created_at, row.id), reverse=True)
    if query.sort != "newest":
        kept.sort(key=_ORDERS[query.sort])
    return tuple(kept)


def list_facets(context: ServiceContext, access: Access = FULL_ACCESS) -> LibraryFacets:
    """Return the tags, the cameras and the things observed of the videos someone may see."""
    rows = visible_videos(context, access)
    tags = Counter(tag for row in rows for tag in row.tags)
    places = recordings(rows)
    filmed_by = camera_names(context)
    cameras = Counter(name for row in rows if (name := camera_of(row, places, filmed_by)))
    return LibraryFacets(
        tags=tuple(name for name, _ in tags.most_common()),
        cameras=tuple(name for name, _ in cameras.most_common()),
        observed=tuple(_observed(context, rows, access)),
    )


def camera_names(context: ServiceContext) -> Mapping[CameraId, str]:
    """Return the names of all cameras, for `camera_of`."""
    return {camera.id: camera.name for camera in context.catalog.cameras.list()}


def camera_of(
    row: VideoRow,
    places: Mapping[VideoId, RecordingItem],
    names: Mapping[CameraId, str],
) -> str | None:
    """Return the camera of a video: one of the list, a live source, or the recording it is in."""
    if row.camera is not None and row.camera in names:
        return names[row.camera]
    if is_live_uri(row.uri):
        return row.name
    place = places.get(row.id)
    return None if place is None else place.name


def labels_of(
    context: ServiceContext, rows: Sequence[VideoRow]
) -> Mapping[VideoId, tuple[LabelTally, ...]]:
    """Return what was observed in some videos: things, then whether there is speech or print."""
    tallies = context.catalog.tallies.by_video([row.id for row in rows])
    return {video: tuple(_as_shown(labels)) for video, labels in tallies.items()}


def check_query(
    *,
    text: str = "",
    tags: Iterable[str] = (),
    camera: str = "",
    observed: str = "",
    since: str = "",
    until: str = "",
    sort: str = "newest",
) -> LibraryQuery:
    """Return a query of texts.

    Raises:
        InputRefusedError: No such order, no day, or days the wrong way round.
    """
    order = next((name for name in SORTS if name == sort), None)
    if order is None:
        raise InputRefusedError(
            f"videos are not sorted by {sort!r}", hint=f"there are {', '.join(SORTS)}"
        )
    first, last = _day(since), _day(until)
    if first is not None and last is not None and last < first:
        raise InputRefusedError(
            f"{last} lies before {first}", hint="give the first day, then the last one"
        )
    return LibraryQuery(
        text=text.strip(),
        tags=tuple(filter(None, (tag.strip() for tag in tags))),
        camera=camera,
        observed=observed.strip(),
        since=first,
        until=last,
        sort=order,
    )


def _tests(
    context: ServiceContext, query: LibraryQuery, rows: Sequence[VideoRow]
) -> Iterable[Callable[[VideoRow], bool]]:
    words = query.text.casefold().split()
    if words:
        yield lambda row: all(word in _words_of(row) for word in words)
    tags = {tag.casefold() for tag in query.tags}
    if tags:
        yield lambda row: tags.issubset(map(str.casefold, row.tags))
    if query.camera:
        places, names = recordings(rows), camera_names(context)
        yield lambda row: camera_of(row, places, names) == query.camera
    if query.observed:
        holding = context.catalog.tallies.videos_with(query.observed.casefold())
        yield lambda row: row.id in holding
    if query.since or query.until:
        first, last = query.since or date.min, query.until or date.max
        yield lambda row: first <= _day_of(context, row) <= last


def _words_of(row: VideoRow) -> str:
    return " ".join([row.name, row.file_name or "", *row.tags]).casefold()


def _day_of(context: ServiceContext, row: VideoRow) -> date:
    zone = context.settings.media.zone(row.timezone)
    iso = wall_clock(row.start_at or row.created_at, 0.0, zone)
    assert iso is not None, "every video was added at some time"
    return date.fromisoformat(iso[:10])


def _name_order(row: VideoRow) -> tuple[Any, ...]:
    """Return a key by which `camera 9` stands before `camera 10`."""
    parts = _DIGITS.split(row.name.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


_ORDERS: Final[dict[Sort, Callable[[VideoRow], Any]]] = {
    "filmed": lambda row: -(row.start_at.timestamp() if row.start_at else float("-inf")),
    "name": _name_order,
    "longest": lambda row: -(row.duration_s or 0.0),
}
"""Orders of `SORTS` within which the newest comes first."""


def _day(text: str) -> date | None:
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError as error:
        raise InputRefusedError(f"{text!r} is no day", hint="write it as 2026-03-01") from error


def _observed(context: ServiceContext, rows: Sequence[VideoRow], access: Access) -> Iterable[str]:
    """Yield labels and kinds of the videos that someone may see: names tell of the others too."""
    if access.granted is None:
        tallies = context.catalog.tallies.over_library()
    else:
        counts = Counter[tuple[Any, str]]()
        for labels in context.catalog.tallies.by_video([row.id for row in rows]).values():
            counts.update((tally.kind, tally.label) for tally in labels)
        tallies = tuple(
            LabelTally(kind=kind, label=label, n=n) for (kind, label), n in counts.most_common()
        )
    return dict.fromkeys(tally.label or tally.kind for tally in _as_shown(tallies))


def _as_shown(labels: Iterable[LabelTally]) -> Iterable[LabelTally]:
    """Yield labels as people look for them: movement is in every video, and says nothing."""
    rows = [row for row in labels if row.kind != "motion"]
    yield from (row for row in rows if row.label)
    yield from (row for row in rows if not row.label)
