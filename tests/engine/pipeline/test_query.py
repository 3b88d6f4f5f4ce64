"""The rules on a question's words."""

import pytest

from engine.pipeline.query import parse, parse_search, phrase, strip_options
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
    assert parse(question).recall == "overview"


@pytest.mark.parametrize(
    "question",
    [
        "When does the red star card appear?",
        "What colour is the car?",
        "Is there a dog?\nOptions:\n(A) before noon\n(B) at first",
    ],
)
def test_questions_about_one_thing_are_not(question: str) -> None:
    query = parse(question)
    assert query.recall == "top"
    assert len(query.phrases) == 1


@pytest.mark.parametrize("question", ["What do you see?", "What place is this?", "?"])
def test_a_question_that_names_nothing_looks_for_nothing(question: str) -> None:
    assert parse(question).phrases == ()


def test_the_model_is_given_the_question_as_it_was_asked() -> None:
    question = "Question: Which car?\nOptions:\n(A) red\n(B) blue"
    assert parse(question).question == question


def test_options_are_no_part_of_what_is_asked() -> None:
    assert strip_options("Question: Which car?\nOptions:\n(A) red\n(B) blue") == "Which car?"


TRUCK = Turn(question="When does the truck come?", answer="At noon.")
DOG = Turn(question="Where is the dog?", answer="On the grass.")


def test_a_question_that_points_back_looks_for_what_the_last_one_named() -> None:
    assert parse("What colour is it?", [TRUCK]).phrases == ("truck",)
    assert parse("What colour is it?", [TRUCK, DOG]).phrases == ("dog",)
    assert parse("What colour is it?", [DOG, TRUCK]).phrases == ("truck",)


def test_a_question_that_names_its_thing_needs_no_history() -> None:
    assert parse("Is there a cat?", [TRUCK]).phrases == ("cat",)
    assert (
        parse("Does it meet the red car?", [TRUCK]).phrases
        == parse("Does it meet the red car?").phrases
    )


def test_a_question_that_points_back_recalls_what_it_points_to() -> None:
    assert parse("What colour is it?", [TRUCK]).recall == "top"
    assert parse("How many of them are there?", [TRUCK]).recall == "overview"


@pytest.mark.parametrize(
    "question",
    [
        "Which came first, the dog or the red car?",
        "Did the dog come before the red car?",
        "What was seen first: the dog or the red car?",
    ],
)
def test_a_comparison_looks_for_both_things(question: str) -> None:
    query = parse(question)
    assert query.phrases == ("dog", "red car")
    assert query.recall == "top"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red car", "red car"),
        ("When does the red car come?", "red car"),
        ("Which came first, the dog or the red car?", "dog red car"),
        ("night", "night"),
        ("?", "?"),
    ],
)
def test_a_search_looks_for_one_phrase_whatever_it_names(text: str, expected: str) -> None:
    query = parse_search(text)
    assert query.phrases == (expected,)
    assert query.question == text
