"""A search as people type it: words, and filters such as `camera:gate after:1:30` among them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.timefmt import parse_time
from storage.records import VideoRow

_FILTER: Final = re.compile(
    r'(?:^|(?<=\s))(camera|video|tag|after|before|time):("[^"]*"|\S+)', re.I
)
MOST_TAGGED: Final = 256
"""Videos that a search names at most (`VideoIds`)."""
_HOURS: Final = re.compile(r"\d\d:\d\d-\d\d:\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWords:
    """Typed text, taken apart."""

    query: str
    videos: tuple[str, ...] = ()
    """Ids, in the order of the names."""
    after: str = ""
    before: str = ""
    hours: str = ""
    problems: tuple[str, ...] = field(default=())
    """Filters that name nothing; a search that left them out would be of something else."""


def read_search(text: str, videos: Sequence[VideoRow]) -> SearchWords:
    """Take a search apart.

    Args:
        text: As typed. `camera:` and `video:` take a name or a part of one, in quotation marks
            where it has spaces; `tag:` a tag; `after:` and `before:` a time; `time:` hours of the
            day.
        videos: Those that may be named.
    """
    given: dict[str, list[str]] = {}
    for match in _FILTER.finditer(text):
        name = match[1].lower().replace("camera", "video")
        given.setdefault(name, []).append(match[2].strip('"'))
    problems = [*_bad_bounds(given)]
    ids: list[str] = []
    for name in given.get("video", ()):
        video = find_named(name, videos)
        if video is None:
            problems.append(f"no video is named {name!r}")
        elif video.id not in ids:
            ids.append(video.id)
    for tag in given.get("tag", ()):
        tagged = [row.id for row in videos if has_tag(row, tag)]
        if not tagged:
            problems.append(f"no video is tagged {tag!r}")
        elif len(tagged) > MOST_TAGGED:
            problems.append(f"{len(tagged)} videos are tagged {tag!r}, more than {MOST_TAGGED}")
        ids += [video_id for video_id in tagged if video_id not in ids]
    return SearchWords(
        query=" ".join(_FILTER.sub("", text).split()),
        videos=tuple(ids),
        after=given.get("after", [""])[-1],
        before=given.get("before", [""])[-1],
        hours=given.get("time", [""])[-1],
        problems=tuple(problems),
    )


def has_tag(video: VideoRow, tag: str) -> bool:
    """Return whether a video has a tag, in whatever case."""
    return tag.casefold() in map(str.casefold, video.tags)


def find_named(name: str, videos: Sequence[VideoRow]) -> VideoRow | None:
    """Return the video of an id or a name, else the first whose name holds the words."""
    wanted = name.lower()
    tests = (
        lambda row: row.id == name,
        lambda row: row.name.lower() == wanted,
        lambda row: wanted in row.name.lower(),
    )
    return next((row for test in tests for row in videos if test(row)), None)


def bad_bound(name: str, text: str) -> str | None:
    """Return what is wrong with the text of a bound; `None` where it is a time, or empty."""
    if not text:
        return None
    if name == "time":
        return None if _HOURS.fullmatch(text) else f"time:{text} are no hours such as 22:00-06:00"
    try:
        parse_time(text)
    except ValueError:
        return f"{name}:{text} is no time such as 1:30, 90m or 2026-03-01T22:00"
    return None


def _bad_bounds(given: dict[str, list[str]]) -> list[str]:
    return [
        problem
        for name in ("after", "before", "time")
        for text in given.get(name, ())
        if (problem := bad_bound(name, text))
    ]
