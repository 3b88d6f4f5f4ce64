"""Sightings and events: what counts, and streaming equals all at once."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.alerts.events import JOIN_S, AlertEvent, EventState, fold
from engine.pipeline.alerts.geometry import Line, Point, Zone
from engine.pipeline.alerts.sightings import (
    Place,
    Sighting,
    motion_sightings,
    quiet_sightings,
    thing_sightings,
    within,
    word_sightings,
)
from engine.pipeline.row_search import read_query
from engine.records import TimeSpan
from tests.support.observations import track, words

ANYWHERE = Place()


def span(start_s: float, end_s: float) -> TimeSpan:
    return TimeSpan(start_s=float(start_s), end_s=float(end_s))


def seen(start_s: float, end_s: float, number: int | None = None, score: float = 0.8) -> Sighting:
    return Sighting(
        span=span(start_s, end_s),
        peak_s=float(start_s),
        score=score,
        what="person",
        track=None if number is None else f"object:{number}",
    )


def spans(events: Sequence[AlertEvent]) -> list[tuple[float, float]]:
    return [(event.span.start_s, event.span.end_s) for event in events]


def test_sightings_near_each_other_are_one_event() -> None:
    folded = fold(EventState(), [seen(0, 3), seen(4, 6), seen(6 + JOIN_S + 1, 12)], 20.0)
    assert spans(folded.events) == [(0, 6), (6 + JOIN_S + 1, 12)]


def test_event_shows_its_surest_sighting() -> None:
    folded = fold(EventState(), [seen(0, 3, score=0.6), seen(2, 6, score=0.9)], 20.0)
    (event,) = folded.events
    assert (event.score, event.peak_s, event.span.start_s) == (0.9, 2, 0)


def test_track_that_goes_on_is_one_event() -> None:
    first = fold(EventState(), [seen(5, 10, 1)], 10.0)
    second = fold(first.state, [seen(5, 20, 1)], 20.0)
    assert len(first.events) == 1
    assert second.events == ()
    assert second.extended == span(5, 20)


def test_what_was_seen_before_is_no_event_of_a_later_stretch() -> None:
    state = EventState(until_s=30.0)
    assert fold(state, [seen(10, 20)], 40.0).events == ()
    assert len(fold(state, [seen(10, 35)], 40.0).events) == 1


def test_thing_that_only_passes_is_left_out() -> None:
    assert fold(EventState(), [seen(0, 3)], 10.0, least_s=5.0).events == ()
    assert len(fold(EventState(), [seen(0, 6)], 10.0, least_s=5.0).events) == 1


def test_state_comes_back_from_its_json() -> None:
    state = fold(EventState(), [seen(5, 10, 1)], 10.0).state
    assert EventState.of_json(10.0, state.as_json()) == state
    assert EventState.of_json(0.0, {}) == EventState()


visits = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 40)), max_size=8
).map(  # Pauses and lengths: one visit behind the other, some near, some far.
    lambda pairs: [
        (sum(map(sum, pairs[:idx])) + pause, sum(map(sum, pairs[: idx + 1])))
        for idx, (pause, _) in enumerate(pairs)
    ]
)


@given(visits=visits, cuts=st.lists(st.integers(0, 900), max_size=6))
def test_streaming_equals_all_at_once(visits: list[tuple[int, int]], cuts: list[int]) -> None:
    at_once = fold(EventState(), [seen(a, b, idx) for idx, (a, b) in enumerate(visits)], 1000.0)
    state, raised = EventState(), {}
    for cut_s in [*sorted(set(cuts)), 1000]:
        # As observers state them then: whatever has begun, as far as it has come.
        rows = [seen(a, min(b, cut_s), idx) for idx, (a, b) in enumerate(visits) if a < cut_s]
        folded = fold(state, [row for row in rows if row.span.end_s >= state.until_s], float(cut_s))
        if folded.extended is not None:
            raised[folded.extended.start_s] = folded.extended.end_s
        raised |= {event.span.start_s: event.span.end_s for event in folded.events}
        state = folded.state
    assert sorted(raised.items()) == spans(at_once.events)


def test_crossing_that_is_known_late_is_not_lost() -> None:
    line = Place(line=Line(Point(0.5, 0.0), Point(0.5, 1.0)))
    walker = track("person", 0, 8, x=(0.1, 0.9))
    # It crosses at 4.0 s; of the boxes until 3.5 s nobody can tell.
    early = track("person", 0, 3, x=(0.1, 0.4))
    person = read_query("a person")
    first = fold(EventState(), thing_sightings(person, [early], line), 4.5)
    second = fold(first.state, thing_sightings(person, [walker], line), 9.0)
    assert first.events == ()
    assert [event.span.start_s for event in second.events] == [pytest.approx(4.0)]
    third = fold(second.state, thing_sightings(person, [walker], line), 12.0)
    assert third.events == ()


def test_unsure_thing_claims_little() -> None:
    wanted = read_query("a person")
    (sure,) = thing_sightings(wanted, [track("person", 0, 4, confidence=0.8)], ANYWHERE)
    (unsure,) = thing_sightings(wanted, [track("person", 0, 4, confidence=0.4)], ANYWHERE)
    assert unsure.score < 0.5 < sure.score


def test_colour_is_part_of_what_is_wanted() -> None:
    wanted = read_query("a red car")
    red = track("car", 0, 4, confidence=0.9, colours=("red",))
    blue = track("car", 0, 4, confidence=0.9, colours=("blue",), number=2)
    scores = [sighting.score for sighting in thing_sightings(wanted, [red, blue], ANYWHERE)]
    assert scores[0] > 0.5 > scores[1]


def test_thing_outside_the_zone_is_no_sighting() -> None:
    corner = Zone((Point(0.8, 0.8), Point(1.0, 0.8), Point(1.0, 1.0)))
    rows = [track("person", 0, 4)]
    assert thing_sightings(read_query("a person"), rows, Place(zone=corner)) == ()
    assert motion_sightings([track("movement", 0, 4, kind="motion")], Place(zone=corner)) == ()


def test_words_have_to_be_there_all() -> None:
    row = words("text", 3, 9, "KEEP OUT")
    assert [s.what for s in word_sightings([(row, 1.0)])] == ["KEEP OUT"]
    assert word_sightings([(row, 0.5)]) == ()


def test_long_quiet_is_a_sighting() -> None:
    looked = span(0, 100)
    busy = [span(10, 20), span(15, 30)]
    quiet = quiet_sightings(busy, looked, 40.0)
    assert [(s.span.start_s, s.span.end_s, s.peak_s) for s in quiet] == [(30, 100, 70)]
    assert quiet_sightings(busy, looked, 80.0) == ()


def test_sightings_are_cut_to_the_hours_of_a_rule() -> None:
    night = [span(5, 8), span(20, 30)]
    parts = within([seen(0, 22, 1), seen(9, 10), seen(21, 21)], night)
    assert [(p.span.start_s, p.span.end_s) for p in parts] == [(5, 8), (20, 22), (21, 21)]
