"""Search over rows of observers: colours, numbers, absence, words."""

import pytest

from engine.pipeline.row_search import (
    absence_moments,
    read_query,
    text_moments,
    thing_moments,
    without_negated,
)
from engine.records import Box, Observation, ObservationKind, TimeSpan, VideoId

VIDEO = VideoId("a")


def row(
    label: str, start_s: float, end_s: float, *, confidence: float = 0.95,
    colours: tuple[str, ...] = (), kind: ObservationKind = "object", text: str = "",
) -> Observation:  # fmt: skip
    box = {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5}
    return Observation(
        video=VIDEO,
        kind=kind,
        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
        label=label,
        text=text,
        confidence=confidence,
        model="test",
        peak_s=(start_s + end_s) / 2,
        boxes=tuple(Box(time_s=float(start_s + step), **box) for step in range(3)),
        colours=colours,
    )


@pytest.mark.parametrize(
    ("text", "labels", "colours", "count"),
    [
        ("a white van", (), ("white",), 1),
        ("two people", ("person",), (), 2),
        ("three red cars", ("car",), ("red",), 3),
        ("a man with a dog", ("dog", "person"), (), 1),
        ("a room in 1998", (), (), 1),
    ],
)
def test_things_colours_and_numbers_of_a_query_are_read(
    text: str, labels: tuple[str, ...], colours: tuple[str, ...], count: int
) -> None:
    wanted = read_query(text)
    assert (tuple(sorted(wanted.labels)), wanted.colours, wanted.count) == (labels, colours, count)


def test_the_car_of_the_colour_is_found_and_another_is_not() -> None:
    rows = [row("car", 0, 5, colours=("blue",)), row("car", 20, 25, colours=("red", "grey"))]
    blue, red = thing_moments(read_query("a red car"), rows)
    assert red.is_claimed
    assert not blue.is_claimed
    assert red.relevance > blue.relevance


def test_a_number_of_things_is_found_where_so_many_are_in_view_at_one_time() -> None:
    rows = [row("person", 0, 10), row("person", 6, 20), row("person", 30, 40)]
    moments = thing_moments(read_query("two people"), rows)
    assert {moment.span for moment in moments} == {TimeSpan(start_s=6.0, end_s=10.0)}
    assert thing_moments(read_query("three people"), rows) == ()


def test_two_things_are_found_where_they_are_together() -> None:
    rows = [row("dog", 0, 10), row("person", 5, 20), row("dog", 40, 50)]
    together, alone = thing_moments(read_query("a dog and a man"), rows)
    assert together.span == TimeSpan(start_s=5.0, end_s=10.0)
    assert together.relevance > alone.relevance
    assert not alone.is_claimed


def test_a_wider_label_alone_claims_nothing_of_a_narrower_word() -> None:
    (moment,) = thing_moments(read_query("a policeman"), [row("person", 0, 5, confidence=0.7)])
    assert not moment.is_claimed


def test_nobody_is_found_between_visits_and_never_beyond_where_somebody_looked() -> None:
    wanted = read_query("nobody")
    rows = [row("person", 5, 10), row("person", 8, 12)]
    reach = [(VIDEO, TimeSpan(start_s=0.0, end_s=20.0))]
    moments = absence_moments(wanted, rows, reach)
    spans = [(moment.span.start_s, moment.span.end_s) for moment in moments]
    assert spans == [(0, 5), (12, 20)]
    assert all(moment.is_claimed for moment in moments)
    assert absence_moments(wanted, rows, []) == ()
    (visit,) = thing_moments(read_query("a person"), rows[:1])
    assert without_negated(wanted, [visit], rows) == []


def test_words_after_a_negation_are_not_looked_for() -> None:
    wanted = read_query("a street without cars")
    assert (wanted.positive, wanted.negated) == ("a street", frozenset({"car"}))


def test_a_text_that_holds_all_words_is_found_and_one_with_a_third_of_them_is_not() -> None:
    said = row("", 3, 6, kind="speech", text="ask what you can do for your country")
    whole, part = text_moments([(said, 1.0, 3), (said, 1 / 3, 3)])
    assert whole.is_claimed
    assert not part.is_claimed
    assert (whole.kind, whole.text) == ("speech", said.text)
