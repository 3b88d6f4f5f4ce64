"""Subtitles as benchmarks put them into a prompt: the lines that are shown at a few moments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.records import TimeSpan

MOMENTS = 32
"""Evenly spaced moments whose lines are given: as many frames as lmms-eval takes by default."""

_TIMES = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_MARKUP = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleLine:
    """One line of subtitles."""

    span: TimeSpan
    text: str


def read_srt(path: Path) -> tuple[SubtitleLine, ...]:
    """Read an SRT file, markup removed; entries without a time are left out."""
    lines = []
    for block in re.split(r"\r?\n\r?\n", path.read_text(encoding="utf-8-sig", errors="replace")):
        match = _TIMES.search(block)
        if match is None:
            continue
        times = [int(part) for part in match.groups()]
        start_s, end_s = (
            hours * 3600 + minutes * 60 + seconds + millis / 1000
            for hours, minutes, seconds, millis in (times[:4], times[4:])
        )
        text = " ".join(_MARKUP.sub("", block[match.end() :]).split())
        if text and start_s <= end_s:
            lines.append(SubtitleLine(span=TimeSpan(start_s=start_s, end_s=end_s), text=text))
    return tuple(lines)


def shown_lines(lines: Sequence[SubtitleLine], *, n_moments: int = MOMENTS) -> str:
    """Return the lines that are shown at evenly spaced moments, each once, in time order."""
    if not lines:
        return ""
    end_s = max(line.span.end_s for line in lines)
    moments = [end_s * idx / max(1, n_moments - 1) for idx in range(n_moments)]
    shown = [line for line in lines if any(line.span.contains(moment) for moment in moments)]
    return "\n".join(line.text for line in sorted(shown, key=lambda line: line.span))
