"""Rows of observers as stretches that satisfy a condition, each with its support."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.pipeline.alerts.geometry import Line, Zone, time_crossed, time_inside
from engine.pipeline.fusion import Moment
from engine.pipeline.row_search import Wanted, thing_moments
from engine.records import Observation, TimeSpan

MOST_EVIDENCE: Final = 10
"""Rows that are kept with an event, the surest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Part of the picture where something has to be, or go; anywhere when empty."""

    zone: Zone | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A stretch of a video that satisfies a condition."""

    span: TimeSpan
    peak_s: float
    score: float
    """Support, in [0, 1]; from 0.5 on it is claimed."""
    what: str
    rows: tuple[Observation, ...] = ()
    track: str | None = None
    """The thing that was followed, if any: whatever it does, it is one event."""
    row_end_s: float | None = None
    """The end of the row that it comes from, where that goes on behind it."""

    @property
    def known_s(self) -> float:
        """End of the footage that had to be looked at to know of it."""
        return self.span.end_s if self.row_end_s is None else self.row_end_s


def thing_sightings(
    wanted: Wanted, rows: Sequence[Observation], place: Place
) -> tuple[Sighting, ...]:
    """Return when a thing is in view, in its zone, or crosses a line.

    Args:
        wanted: The words of the condition, read.
        rows: Of objects, with the labels that the condition is about.
    """
    sightings = []
    for row in rows:
        # Alone, so that the moment is of this row and nothing else; the score is calibrated there.
        for moment in thing_moments(wanted, [row]):
            sighting = _placed(row, moment.text, _probability(moment.log_odds), place)
            if sighting is not None:
                sightings.append(sighting)
    return tuple(sightings)


def motion_sightings(rows: Iterable[Observation], place: Place) -> tuple[Sighting, ...]:
    """Return when anything moves, in its zone, or over a line."""
    placed = (_placed(row, row.label, row.confidence, place) for row in rows)
    return tuple(sighting for sighting in placed if sighting is not None)


def word_sightings(matches: Iterable[tuple[Observation, float]]) -> tuple[Sighting, ...]:
    """Return the print or speech that holds every word of a condition.

    Args:
        matches: Row, and share of the words that it holds.
    """
    return tuple(
        Sighting(
            span=row.span,
            peak_s=row.peak_s,
            score=row.confidence,
            what=row.text,
            rows=(row,),
        )
        for row, share in matches
        if share >= 1
    )


def moment_sightings(moments: Iterable[Moment]) -> tuple[Sighting, ...]:
    """Return the moments of a search that are claimed and not merely near."""
    return tuple(
        Sighting(
            span=moment.span,
            peak_s=moment.peak_s,
            score=_probability(moment.log_odds),
            what=moment.text,
        )
        for moment in moments
        if moment.is_claimed
    )


def quiet_sightings(
    busy: Iterable[TimeSpan], looked: TimeSpan, least_s: float
) -> tuple[Sighting, ...]:
    """Return the stretches in which nothing happened for too long.

    Args:
        busy: When something did.
        looked: Where it would have been seen.
        least_s: What is too long; shorter stretches are left out.
    """
    sightings, since_s = [], looked.start_s
    edges = [(span.start_s, span.end_s) for span in sorted(busy)]
    for start_s, end_s in [*edges, (looked.end_s, looked.end_s)]:
        until_s = min(start_s, looked.end_s)
        if until_s - since_s >= least_s:
            sightings.append(
                Sighting(
                    span=TimeSpan(start_s=since_s, end_s=until_s),
                    # The picture at which it has become too long.
                    peak_s=since_s + least_s,
                    score=1.0,
                    what="",
                )
            )
        since_s = max(since_s, end_s)
    return tuple(sightings)


def within(sightings: Iterable[Sighting], spans: Sequence[TimeSpan]) -> tuple[Sighting, ...]:
    """Return the parts of sightings that lie in certain stretches, such as the hours of a rule."""
    parts = []
    for sighting in sightings:
        for bounds in spans:
            start_s = max(sighting.span.start_s, bounds.start_s)
            end_s = min(sighting.span.end_s, bounds.end_s)
            is_moment = sighting.span.duration_s == 0 and bounds.contains(sighting.span.start_s)
            if start_s < end_s or is_moment:
                parts.append(_cut(sighting, TimeSpan(start_s=start_s, end_s=max(start_s, end_s))))
    return tuple(parts)


def _cut(sighting: Sighting, span: TimeSpan) -> Sighting:
    peak_s = sighting.peak_s if span.contains(sighting.peak_s) else span.start_s
    return replace(sighting, span=span, peak_s=peak_s)


def _placed(row: Observation, what: str, score: float, place: Place) -> Sighting | None:
    span: TimeSpan | None = row.span
    if place.line is not None:
        at_s = time_crossed(place.line, row.boxes)
        span = None if at_s is None else TimeSpan(start_s=at_s, end_s=at_s)
    elif place.zone is not None:
        span = time_inside(place.zone, row.boxes, row.span.end_s)
    if span is None:
        return None
    is_inside = span.start_s <= row.peak_s <= span.end_s
    return Sighting(
        span=span,
        peak_s=row.peak_s if is_inside else span.start_s,
        score=score,
        what=what,
        rows=(row,),
        track=None if row.track is None else f"{row.kind}:{row.track}",
        row_end_s=row.span.end_s,
    )


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))
