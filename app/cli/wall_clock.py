"""Wall clocks and parts of recordings as people read them."""

from collections.abc import Mapping
from typing import Literal

from app.schemas.videos import RecordingItem
from app.timefmt import clock_text
from storage.records import StartSource

_ORIGINS: Mapping[StartSource, str] = {
    "user": "set by a user",
    "recorder": "recorder header",
    "file_name": "file name",
    "container": "container tag",
    "chapter": "the part before",
    "live": "opening of the feed",
}


def clock_words(start_at: str | None, source: StartSource | Literal["none"] | None) -> str:
    """Return a wall clock with its offset from UTC, and where it was read; empty without one."""
    if start_at is None or source is None or source == "none":
        return ""
    return f"{clock_text(start_at)} {start_at[-6:]} ({_ORIGINS[source]})"


def part_words(recording: RecordingItem | None) -> str:
    """Return which part of a recording a video is; empty where it is no part of one."""
    if recording is None:
        return ""
    lost = ", ".join(map(str, recording.missing))
    missing = f", {lost} missing" if lost else ""
    return f"part {recording.part} of {recording.parts} of {recording.name}{missing}"
