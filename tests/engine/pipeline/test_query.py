"""The rules on a question's words."""

import pytest

from engine.pipeline.query import (
    asks_for_whole,
    in_context,
    phrase,
    phrases,
    recall_for,
    spell_duration,
    stem,
)
from engine.records import Turn


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When does the red star card appear?", "red star card"),
        ("Is there a blue truck?", "blue truck"),
        ("What colour is the car?", "car"),
        ("Which direction does the green ball go?", "green ball"),
        ("Where is the person with the umbrella in the video?", "person with the umbrella"),
        ("red bicycle", "red bicycle"),
        ("What?", "What"),
        ("Is a red star card shown?\n(A) yes (B) no", "red star card"),
    ],
)
def test_a_question_looks_for_its_phrase(question: str, expected: str) -> None:
    assert phrase(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Summarise the video.",
        "How many cars pass?",
        "Which card appears first?",
        "What place is this?",
        "Is it day or night?",
        "What do you see?",
        "What happens after the truck leaves?",
        "In what order do the cards appear?",
        "What is this video about?",
    ],
)
def test_questions_about_the_whole_are_known_by_their_words(question: str) -> None:
    assert asks_for_whole(question)


@pytest.mark.parametrize(
    "question",
    [
        "When does the red star card appear?",
        "What colour is the car?",
        "Is there a dog?\nOptions:\n(A) before noon\n(B) at first",
    ],
)
def test_questions_about_one_thing_are_not(question: str) -> None:
    assert not asks_for_whole(question)


def test_options_are_no_part_of_what_is_asked() -> None:
    assert stem("Question: Which car?\nOptions:\n(A) red\n(B) blue") == "Which car?"


def test_a_question_that_points_back_takes_the_last_one_along() -> None:
    history = [Turn(question="When does the truck come?", answer="At noon.")]
    assert "truck" in in_context("What colour is it?", history)
    assert in_context("Where does it meet the red car?", history).startswith("Where")
    assert in_context("Is there a dog?", history) == "Is there a dog?"


@pytest.mark.parametrize(
    "question",
    [
        "Which came first, the dog or the red car?",
        "Did the dog come before the red car?",
        "What was seen first: the dog or the red car?",
    ],
)
def test_a_comparison_looks_for_both_things(question: str) -> None:
    assert phrases(question) == ("dog", "red car")
    assert not asks_for_whole(question)


def test_a_question_that_points_back_recalls_what_it_points_to() -> None:
    assert recall_for("What colour is it?", "When does the truck come?") == "top"
    assert recall_for("How many of them are there?", "When does the truck come?") == "overview"


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.4, "0 seconds"),
        (1.0, "1 second"),
        (42.0, "42 seconds"),
        (60.0, "1 minute"),
        (3569.0, "59 minutes"),
        (3600.0, "1 hour"),
        (7505.0, "2 hours 5 minutes"),
    ],
)
def test_durations_are_spelled_as_one_says_them(duration_s: float, expected: str) -> None:
    assert spell_duration(duration_s) == expected
