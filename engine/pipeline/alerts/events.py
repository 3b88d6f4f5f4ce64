"""Sightings joined into events: a fold over the stretches of a video as they come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.pipeline.alerts.sightings import MOST_EVIDENCE, Sighting
from engine.records import Observation, TimeSpan

JOIN_S: Final = 2.0
"""Longest pause within one event: what tracks bridge too. Visits at a table were 2.8 s apart."""
_MOST_TRACKS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """Something that happened, from its first to its last sighting."""

    span: TimeSpan
    peak_s: float
    """Of its surest sighting."""
    score: float
    what: str
    rows: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventState:
    """The end of what was joined, and the event that may go on there."""

    until_s: float = 0.0
    last: TimeSpan | None = None
    tracks: tuple[str, ...] = ()
    """Things of that event and of those before it that are still about."""

    def as_json(self) -> dict[str, Any]:
        """Return what `of_json` reads; `until_s` is kept beside it."""
        last = None if self.last is None else [self.last.start_s, self.last.end_s]
        return {"last": last, "tracks": [*self.tracks]}

    @classmethod
    def of_json(cls, until_s: float, kept: Mapping[str, Any]) -> "EventState":
        """Return the state that was kept; the first one where nothing was."""
        last = kept.get("last")
        return cls(
            until_s=until_s,
            last=None if last is None else TimeSpan(start_s=last[0], end_s=last[1]),
            tracks=tuple(kept.get("tracks", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The events that a stretch of footage adds."""

    state: EventState
    events: tuple[AlertEvent, ...] = ()
    """New ones, in time order."""
    extended: TimeSpan | None = None
    """The event of before with its new end, where it went on."""


def fold(
    state: EventState,
    sightings: Sequence[Sighting],
    until_s: float,
    *,
    least_s: float = 0.0,
    join_s: float = JOIN_S,
) -> Folded:
    """Join the sightings of a stretch into events, behind those that were joined before.

    A sighting is of the event before it where it begins no later than `join_s` behind that one's
    end, or where it is of a thing that was part of it: a track that goes on is one event.

    Args:
        state: After the stretch before.
        sightings: All that reach into the stretch or end shortly before it, as known now.
        until_s: The end of the stretch.
        least_s: Shorter sightings do not count, such as of somebody who only passes a zone.
    """
    last, tracks = state.last, dict.fromkeys(state.tracks)
    extended: TimeSpan | None = None
    events: list[AlertEvent] = []
    for sighting in sorted(sightings, key=lambda sighting: sighting.span):
        if sighting.span.duration_s < least_s:
            continue
        is_known = sighting.track in tracks
        goes_on = last is not None and sighting.span.start_s <= last.end_s + join_s
        if last is not None and (is_known or goes_on):
            last = TimeSpan(start_s=last.start_s, end_s=max(last.end_s, sighting.span.end_s))
            if events:
                events[-1] = _joined(events[-1], sighting, last)
            else:
                extended = last
        elif is_known or sighting.known_s <= state.until_s:
            # What ended before the stretch was joined with it, or was none of these events then.
            continue
        else:
            last = sighting.span
            events.append(_begun(sighting))
        if sighting.track is not None:
            tracks[sighting.track] = None
    return Folded(
        state=EventState(until_s=until_s, last=last, tracks=tuple(tracks)[-_MOST_TRACKS:]),
        events=tuple(events),
        extended=None if extended == state.last else extended,
    )


def _begun(sighting: Sighting) -> AlertEvent:
    return AlertEvent(
        span=sighting.span,
        peak_s=sighting.peak_s,
        score=sighting.score,
        what=sighting.what,
        rows=sighting.rows[:MOST_EVIDENCE],
    )


def _joined(event: AlertEvent, sighting: Sighting, span: TimeSpan) -> AlertEvent:
    """Return an event with one more sighting; the surest of them is what is shown."""
    rows = [*event.rows, *(row for row in sighting.rows if row not in event.rows)]
    surest = sorted(rows, key=lambda row: -row.confidence)[:MOST_EVIDENCE]
    if sighting.score > event.score:
        event = _begun(sighting)
    return replace(event, span=span, rows=tuple(surest))
