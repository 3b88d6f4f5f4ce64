"""Texts with times as WebVTT, the form of captions that players read."""

from collections.abc import Iterable

from app.timefmt import format_offset


def write_track(cues: Iterable[tuple[float, float, str]], *, offset_s: float = 0.0) -> str:
    """Return starts, ends and texts as WebVTT; cues without text are left out.

    Args:
        offset_s: When the player shows what the cues call 0.
    """
    blocks = (
        f"{_clock(start_s + offset_s)} --> {_clock(end_s + offset_s)}\n{_plain(text)}"
        for start_s, end_s, text in cues
        if text.strip()
    )
    return "\n\n".join(("WEBVTT", *blocks)) + "\n"


def _clock(time_s: float) -> str:
    return format_offset(time_s).zfill(12)


def _plain(text: str) -> str:
    """Return a text as one line of a cue, with the markup of WebVTT escaped."""
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
