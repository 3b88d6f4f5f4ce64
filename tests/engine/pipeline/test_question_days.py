"""Days that a question names, told from Wednesday, 4 March 2026, half past two in the afternoon."""

from datetime import datetime

import pytest

from engine.pipeline.question_days import cut_day, find_day

NOW = datetime(2026, 3, 4, 14, 30)


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("yesterday", "2026-03-03", "2026-03-04"),
        ("the day before yesterday", "2026-03-02", "2026-03-03"),
        ("today", "2026-03-04", "2026-03-05"),
        ("this morning", "2026-03-04T06:00", "2026-03-04T12:00"),
        ("yesterday evening", "2026-03-03T18:00", "2026-03-03T22:00"),
        ("last night", "2026-03-03T22:00", "2026-03-04T06:00"),
        ("tonight", "2026-03-04T22:00", "2026-03-05T06:00"),
        ("on wednesday", "2026-03-04", "2026-03-05"),
        ("last wednesday", "2026-02-25", "2026-02-26"),
        ("on sunday night", "2026-03-01T22:00", "2026-03-02T06:00"),
        ("this week", "2026-03-02", "2026-03-05"),
        ("last week", "2026-02-23", "2026-03-02"),
        ("last weekend", "2026-02-28", "2026-03-02"),
        ("last month", "2026-02-01", "2026-03-01"),
        ("this year", "2026-01-01", "2026-03-05"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("on 2026-02-11", "2026-02-11", "2026-02-12"),
        ("on 3 march", "2026-03-03", "2026-03-04"),
        ("on march 5th", "2025-03-05", "2025-03-06"),
        ("on the 29th of february", "2024-02-29", "2024-03-01"),
        ("on 1 jan 2020", "2020-01-01", "2020-01-02"),
        ("on sept 30", "2025-09-30", "2025-10-01"),
    ],
)
def test_words_for_a_day_are_a_stretch_of_the_local_clock(words: str, start: str, end: str) -> None:
    assert cut_day(f"who came {words}") == ("who came", words)
    expected = datetime.fromisoformat(start), datetime.fromisoformat(end)
    assert find_day(words, NOW) == expected


def test_last_weekend_is_over() -> None:
    for day, first in ((1, 21), (7, 28), (8, 28)):
        stretch = find_day("last weekend", datetime(2026, 3, day, 12))
        assert stretch is not None
        assert stretch[0] == datetime(2026, 2, first)
        assert (stretch[1] - stretch[0]).days == 2


@pytest.mark.parametrize("words", ["on 30 february", "on 2026-13-01", "on march 32"])
def test_day_that_no_calendar_has_is_none(words: str) -> None:
    assert cut_day(f"who came {words}")[1] == words
    assert find_day(words, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "who marches by",
        "may 2 people be seen",
        "is it a sunday paper",
        "what happens at 10:30",
        "what day is it",
    ],
)
def test_other_words_are_no_day(text: str) -> None:
    assert cut_day(text) == (text, "")


def test_day_alone_stays() -> None:
    assert cut_day("yesterday") == ("yesterday", "")


def test_day_amid_a_question_leaves_the_rest() -> None:
    text = "when did a dog come in yesterday, before noon"
    assert cut_day(text) == ("when did a dog come in , before noon", "yesterday")
