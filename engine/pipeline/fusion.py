"""Late fusion: moments from several sources as one list, by calibrated support, apart in time.

*Decision*: sources are compared by log-odds, never by their own scores. *Because* a cosine of one
encoder, a posterior of another and a share of words are not one kind of number; each source states
what its number is worth.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from engine.records import MomentKind, TimeSpan, VideoId

APART_S: Final = 5.0
"""Least distance of the peaks of two moments of one video: below it they show the same."""
AGREEING: Final = 0.5
"""Log-odds that a second source adds to a moment: it agrees, but is not independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A span of video that a source proposes for a query."""

    video: VideoId
    span: TimeSpan
    peak_s: float
    kind: MomentKind
    relevance: float
    """Place in the order, in log-odds: sources are compared by it."""
    log_odds: float
    """That it shows all that the query names; above 0 the source claims it."""
    source: str = ""
    """Encoder or observer that proposes it."""
    text: str = ""
    """What was read, said or recognised; empty for vectors."""

    @property
    def score(self) -> float:
        """Relevance as a probability, in (0, 1)."""
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.relevance))))

    @property
    def is_claimed(self) -> bool:
        """Whether it counts as found, and not only as nearest."""
        return self.log_odds > 0


def fuse(moments: Iterable[Moment], *, top: int, apart_s: float = APART_S) -> tuple[Moment, ...]:
    """Return the best moments, no two of one video near each other; claimed ones first.

    Moments of different sources at one time are one: it keeps the better one's span and words,
    and is claimed where any source claims it.

    Args:
        moments: Of all sources, in any order.
        top: Most to return.
        apart_s: Least distance of two peaks of a video.
    """
    ordered = sorted(moments, key=surest_first)
    kept: list[Moment] = []
    # One row of times a moment that is kept: rows of a busy hour are thousands.
    videos: dict[VideoId, int] = {}
    times = np.full((len(ordered), 4), np.nan)
    for moment in ordered:
        video = videos.setdefault(moment.video, len(videos))
        beside = _beside(times[: len(kept)], video, moment.peak_s, apart_s)
        if beside is None:
            times[len(kept)] = (video, moment.peak_s, moment.span.start_s, moment.span.end_s)
            kept.append(moment)
        elif moment.kind != kept[beside].kind and _agrees(kept[beside], moment):
            kept[beside] = replace(kept[beside], relevance=kept[beside].relevance + AGREEING)
    return tuple(sorted(kept, key=surest_first)[:top])


def surest_first(moment: Moment) -> tuple[bool, float]:
    """Return the place of a moment in the order of a result: claimed ones first."""
    return (not moment.is_claimed, -moment.relevance)


def _beside(
    times: Float64[np.ndarray, "moment 4"], video: int, peak_s: float, apart_s: float
) -> int | None:
    """Return the first moment that shows the same: its peak is near, or its span holds this one.

    Args:
        times: Number of the video, peak, start and end of each moment, in seconds.
    """
    of_video, peaks_s, starts_s, ends_s = times.T
    is_near = np.abs(peaks_s - peak_s) < apart_s
    is_inside = (starts_s <= peak_s) & (peak_s < ends_s)
    beside = np.flatnonzero((of_video == video) & (is_near | is_inside))
    return int(beside[0]) if len(beside) else None


def _agrees(moment: Moment, other: Moment) -> bool:
    return moment.is_claimed and other.is_claimed and moment.span.overlap_s(other.span) > 0
