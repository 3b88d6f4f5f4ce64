"""Rules against truth: precision, misses, repeats, hours, and how late they are."""

from pathlib import Path

import pytest

from app.services.alert_eval import measure_alerts
from app.services.context import ServiceContext
from engine.errors import InputRefusedError
from engine.evaluation.footage import FootageSearch
from engine.records import TimeSpan
from tests.support.observations import track
from tests.support.watched import add_video, observe

LOBBY, ROAD = Path("lobby.mp4"), Path("road.mp4")


def search(query: str, **truth: list[tuple[float, float]]) -> FootageSearch:
    """A phrase, and where it is true: throughout where no span is given."""
    return FootageSearch(
        id=query,
        query=query,
        kind="obj",
        truth={
            Path(f"{name}.mp4"): tuple(TimeSpan(start_s=a, end_s=b) for a, b in spans)
            for name, spans in truth.items()
        },
    )


def test_rules_are_compared_with_truth(context: ServiceContext) -> None:
    lobby, road = add_video(context, "lobby"), add_video(context, "road")
    # Found late, found twice, missed; and somebody where nobody is.
    rows = [track("person", 7, 9), track("person", 30, 32, number=2)]
    observe(context, lobby, 100.0, [*rows, track("person", 40, 44, number=3)])
    observe(context, road, 100.0, [track("person", 5, 9), track("car", 1, 90, number=2)])
    library = {LOBBY: lobby.id, ROAD: road.id}
    visits = [(5.0, 10.0), (28.0, 50.0), (70.0, 80.0)]
    searches = [search("a person", lobby=visits), search("a grey mood", lobby=[])]
    measured = measure_alerts(context, searches, library)
    (rule,) = measured.rules
    assert (rule.alerts, rule.right, rule.events, rule.caught) == (4, 3, 3, 2)
    assert (rule.repeats, rule.by_day) == (1, 0)
    assert measured.precision.value == 0.75
    assert measured.delay_s == 2.0


def test_thing_that_is_there_throughout_is_one_event(context: ServiceContext) -> None:
    road = add_video(context, "road")
    observe(context, road, 100.0, [track("car", 1, 90, confidence=0.95)])
    measured = measure_alerts(context, [search("a car", road=[])], {ROAD: road.id})
    assert (measured.rules[0].events, measured.rules[0].caught) == (1, 1)


def test_phrases_that_name_no_thing_are_no_rules(context: ServiceContext) -> None:
    with pytest.raises(InputRefusedError, match="no phrase names a thing"):
        measure_alerts(context, [search("a grey mood", lobby=[])], {})
