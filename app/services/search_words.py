"""A search as people type it: words, and filters such as `camera:gate after:1:30` among them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from app.timefmt import parse_time
from storage.records import VideoRow

_FILTER: Final = re.compile(
    r'(?:^|(?<=\s))(camera|video|tag|after|before|time):("[^"]*"|\S+)', re.I
)
MOST_NAMED: Final = 256
"""Videos that a search names at most (`VideoIds`)."""
_HOURS: Final = re.compile(r"\d\d:\d\d-\d\d:\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWords:
    """Typed text, taken apart."""

    query: str
    videos: tuple[str, ...] = ()
    """Ids, in the order of the names."""
    cameras: tuple[str, ...] = ()
    """Ids of cameras, each with all that it has filmed."""
    after: str = ""
    before: str = ""
    hours: str = ""
    problems: tuple[str, ...] = field(default=())
    """Filters that name nothing; a search that left them out would be of something else."""


def read_search(
    text: str, videos: Sequence[VideoRow], cameras: Mapping[str, str] = MappingProxyType({})
) -> SearchWords:
    """Take a search apart.

    Args:
        text: As typed. `camera:` and `video:` take a name or a part of one, in quotation marks
            where it has spaces; `tag:` a tag; `after:` and `before:` a time; `time:` hours of the
            day. A part of a name is that of all which have it: the files of a recorder.
        videos: Those that may be named.
        cameras: Ids and names of those that may be named; `camera:` means videos else.
    """
    given: dict[str, list[str]] = {}
    for match in _FILTER.finditer(text):
        given.setdefault(match[1].lower(), []).append(match[2].strip('"'))
    problems = [*_bad_bounds(given)]
    ids: dict[str, None] = {}
    meant: dict[str, None] = {}
    named = [("named", name) for name in given.get("video", ())]
    for name in given.get("camera", ()):
        of_name = _named(name, cameras)
        meant |= dict.fromkeys(of_name)
        named += [] if of_name else [("named", name)]
    for word, name in (*named, *(("tagged", tag) for tag in given.get("tag", ()))):
        of_word = _videos_named(name, videos) if word == "named" else _tagged(name, videos)
        if not of_word:
            problems.append(f"no video is {word} {name!r}")
        elif len(of_word) > MOST_NAMED:
            problems.append(f"{len(of_word)} videos are {word} {name!r}, more than {MOST_NAMED}")
        ids |= dict.fromkeys(of_word)
    return SearchWords(
        query=" ".join(_FILTER.sub("", text).split()),
        videos=tuple(ids),
        cameras=tuple(meant),
        after=given.get("after", [""])[-1],
        before=given.get("before", [""])[-1],
        hours=given.get("time", [""])[-1],
        problems=tuple(problems),
    )


def has_tag(video: VideoRow, tag: str) -> bool:
    """Return whether a video has a tag, in whatever case."""
    return tag.casefold() in map(str.casefold, video.tags)


def _tagged(tag: str, videos: Sequence[VideoRow]) -> list[str]:
    return [row.id for row in videos if has_tag(row, tag)]


def _videos_named(name: str, videos: Sequence[VideoRow]) -> list[str]:
    """Return the video of an id, else those of a name."""
    ids = {str(row.id): row.name for row in videos}
    return [name] if name in ids else _named(name, ids)


def _named(name: str, names: Mapping[str, str]) -> list[str]:
    """Return the keys of what has a name, else of all whose names hold it."""
    wanted = name.casefold()
    same = [key for key, other in names.items() if other.casefold() == wanted]
    return same or [key for key, other in names.items() if wanted in other.casefold()]


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
