"""Recordings that a camera has cut into several files, and the order of their parts.

Decision: the parts stay videos of their own, each with its evidence in its own file; what joins
them is an order and one wall clock. Joining files would need a second clock for every moment that
is shown. Revisit when a camera's segments become one timeline in the library.
Decision: told anew from the rows each time, because names, clocks and videos come and go.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from app.schemas.videos import RecordingItem
from engine.media.chapters import FilePart, chapter_of
from engine.media.wall_clock import without_clock
from engine.records import VideoId
from storage.records import CameraId, VideoRow

JOIN_S: Final = 5.0
"""Seconds that may lie between two files of one recording, or be in both: dashcams lose up to two
while they change files, others repeat a second or two, and names hold whole seconds."""

_MOST_NAMES: Final = 65_536
"""Names whose parts are kept in mind: every question puts the whole library in order."""
_COUNTER: Final = re.compile(r"\d{3,}")


def recordings(rows: Sequence[VideoRow]) -> dict[VideoId, RecordingItem]:
    """Return the place of each video that is one part of several of a recording."""
    items: dict[VideoId, RecordingItem] = {}
    for name, parts in _recordings(rows):
        last = max(parts)
        missing = [part for part in range(1, last + 1) if part not in parts]
        if last > 1:
            for part, row in parts.items():
                items[row.id] = RecordingItem(name=name, part=part, parts=last, missing=missing)
    return items


def may_be_part(row: VideoRow) -> bool:
    """Return whether a video's name may make it a part of a recording."""
    return row.start_source == "file_name" or chapter_of(row.file_name or "") is not None


def in_recorded_order(rows: Sequence[VideoRow]) -> tuple[VideoRow, ...]:
    """Return videos in the order given, but the parts of a recording together and by number.

    Those of a camera take their places among them in the order of the wall clock.
    """
    rows = _by_wall_clock(rows)
    places: dict[VideoId, tuple[int, int]] = {}
    at = {row.id: index for index, row in enumerate(rows)}
    for _, parts in _recordings(rows):
        first = min(at[row.id] for row in parts.values())
        places |= {row.id: (first, part) for part, row in parts.items()}
    return tuple(sorted(rows, key=lambda row: places.get(row.id, (at[row.id], 0))))


def _by_wall_clock(rows: Sequence[VideoRow]) -> Sequence[VideoRow]:
    """Return videos in the order given, but those of one camera as they were filmed."""
    filmed: defaultdict[CameraId, list[VideoRow]] = defaultdict(list)
    for row in rows:
        if row.camera is not None:
            filmed[row.camera].append(row)
    if not filmed:
        return rows
    ordered = {camera: iter(in_filmed_order(parts)) for camera, parts in filmed.items()}
    return [row if row.camera is None else next(ordered[row.camera]) for row in rows]


def in_filmed_order(rows: Iterable[VideoRow]) -> tuple[VideoRow, ...]:
    """Return videos by the wall clock; those without one by when they were added."""
    return tuple(sorted(rows, key=lambda row: (row.start_at or row.created_at, row.id)))


def chapters_of(video: VideoRow, rows: Sequence[VideoRow]) -> dict[int, VideoRow]:
    """Return the numbered chapters of a video's recording; empty where it has none.

    Args:
        rows: Videos among which the others may be.
    """
    chaptered = _chaptered(rows)
    return next((parts for _, parts in chaptered if video in parts.values()), {})


def _recordings(rows: Sequence[VideoRow]) -> Iterator[tuple[str, dict[int, VideoRow]]]:
    yield from _chaptered(rows)
    yield from _consecutive(rows)


def _chaptered(rows: Sequence[VideoRow]) -> Iterator[tuple[str, dict[int, VideoRow]]]:
    """Yield recordings whose files are numbered, with their parts in order."""
    groups: defaultdict[tuple[str, str], list[tuple[int, VideoRow]]] = defaultdict(list)
    for row in rows:
        chapter = _chapter(row.file_name or "")
        if chapter is not None:
            groups[_folder(row.uri), chapter.recording].append((chapter.part, row))
    for (_, name), parts in groups.items():
        # Where two cards hold the same numbers nobody knows which files belong together.
        if len({part for part, _ in parts}) == len(parts):
            yield name, dict(sorted(parts, key=lambda numbered: numbered[0]))


def _consecutive(rows: Sequence[VideoRow]) -> Iterator[tuple[str, dict[int, VideoRow]]]:
    """Yield runs of files of one name but for its clock, each beginning where another ends."""
    groups: defaultdict[tuple[str, str], list[VideoRow]] = defaultdict(list)
    for row in rows:
        if row.start_source == "file_name" and row.file_name is not None:
            groups[_folder(row.uri), _series(row.file_name)].append(row)
    for series in groups.values():
        run: list[VideoRow] = []
        for row in sorted(series, key=lambda row: row.at(0.0) or row.created_at):
            if run and not _joins(run[-1], row):
                yield run[0].name, dict(enumerate(run, start=1))
                run = []
            run.append(row)
        yield run[0].name, dict(enumerate(run, start=1))


@functools.lru_cache(maxsize=_MOST_NAMES)
def _series(file_name: str) -> str:
    return _COUNTER.sub("#", without_clock(file_name).lower())


def _joins(before: VideoRow, row: VideoRow) -> bool:
    if before.end_at is None or row.start_at is None:
        return False
    return abs(row.start_at - before.end_at) <= timedelta(seconds=JOIN_S)


@functools.lru_cache(maxsize=_MOST_NAMES)
def _chapter(file_name: str) -> FilePart | None:
    return chapter_of(file_name)


@functools.lru_cache(maxsize=_MOST_NAMES)
def _folder(uri: str) -> str:
    return str(Path(uri).parent)
