"""Measures of answers and moments, on cases that can be counted by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.metrics import (
    accuracy,
    best_iou,
    bootstrap,
    covered,
    recall_at,
    wilson,
)
from engine.records import TimeSpan


def span(start_s: float, end_s: float) -> TimeSpan:
    return TimeSpan(start_s=start_s, end_s=end_s)


spans = st.tuples(st.floats(0, 100), st.floats(0, 50)).map(lambda p: span(p[0], p[0] + p[1]))


def test_accuracy_is_a_share() -> None:
    assert accuracy([True, False, True, True]) == 0.75
    assert accuracy([]) == 0.0


def test_iou_of_the_best_span() -> None:
    found_spans = [span(0.0, 4.0), span(10.0, 14.0)]
    assert best_iou(found_spans, span(12.0, 16.0)) == pytest.approx(2 / 6)
    assert best_iou([], span(0.0, 1.0)) == 0.0


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.5), (3, 1.0)])
def test_recall_counts_wanted_spans_among_the_first(k: int, expected: float) -> None:
    found_spans = [span(0.0, 2.0), span(1.0, 2.0), span(8.0, 9.0)]
    assert recall_at(found_spans, [span(1.5, 3.0), span(8.5, 20.0)], k) == expected


def test_spans_that_only_touch_do_not_meet() -> None:
    assert recall_at([span(0.0, 2.0)], [span(2.0, 3.0)], 1) == 0.0


def test_overlapping_finds_are_not_counted_twice() -> None:
    found_spans = [span(0.0, 6.0), span(4.0, 8.0)]
    assert covered(found_spans, span(0.0, 10.0)) == pytest.approx(0.8)


@given(found_spans=st.lists(spans), wanted=spans)
def test_shares_stay_between_nothing_and_all(found_spans: list[TimeSpan], wanted: TimeSpan) -> None:
    assert 0 <= covered(found_spans, wanted) <= 1 + 1e-9
    assert 0 <= best_iou(found_spans, wanted) <= 1
    assert covered([wanted], wanted) == pytest.approx(1.0) or wanted.duration_s == 0


def test_the_interval_of_a_share_stays_open_at_the_ends() -> None:
    low, high = wilson(20, 20)
    assert (round(low, 3), high) == (0.839, 1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(50, 100)
    assert (round(low, 3), round(high, 3)) == (0.404, 0.596)


def test_the_interval_of_a_mean_holds_it_and_narrows() -> None:
    few, many = bootstrap([0.0, 1.0] * 10), bootstrap([0.0, 1.0] * 1000)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
    assert bootstrap([0.3, 0.9]) == bootstrap([0.3, 0.9])
    assert all(math.isnan(bound) for bound in bootstrap([]))
