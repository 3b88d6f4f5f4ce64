"""The rules on a question's words."""

import pytest

from engine.pipeline.query import parse, parse_search, parts_of, phrase, strip_options
from engine.pipeline.question_times import FootagePart
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


def test_it_is_what_was_named_last_over_questions_that_point_back_themselves() -> None:
    asked = ("Is there a dog and what colour is it?", "Where are they?")
    turns = [Turn(question=question, answer="") for question in asked]
    query = parse("When does it leave?", turns)
    assert query.phrases == ("dog",)
    assert (query.form.kind, query.form.subject) == ("when", "a dog")


def test_a_thing_alone_takes_up_the_question_before_it() -> None:
    asked = ("How many people are there?", "and dogs?")
    turns = [Turn(question=question, answer="") for question in asked]
    for thing in ("And cats?", "what about cats"):
        form = parse(thing, turns).form
        assert (form.kind, form.subject) == ("how_many", "cats")
    assert parse("what about cats").form.subject == "cats"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            "Is there a dog and what colour is it?",
            [("is_there", "a dog"), ("colour", "a dog")],
        ),
        (
            "When does the dog appear? How many dogs are there?",
            [("when", "the dog"), ("how_many", "dogs")],
        ),
        ("Is there a wombat or a dog?", [("is_there", "a wombat"), ("is_there", "a dog")]),
        (
            "Are there more people than dogs?",
            [("how_many", "people"), ("how_many", "dogs")],
        ),
        ("How many dogs and cats are there?", [("how_many", "dogs"), ("how_many", "cats")]),
        ("How many dogs run and jump?", [("how_many", "dogs run and jump")]),
        (
            "Is there a dog and is nobody there?",
            [("is_there", "a dog"), ("is_there", "any people")],
        ),
        ("Is there a black and white dog?", [("is_there", "a black and white dog")]),
        ("Is there a man with a hat or a cap?", [("is_there", "a man with a hat or a cap")]),
        ("Is there a dog?\nOptions:\n(A) yes and what is it (B) no", [("is_there", "a dog")]),
    ],
)
def test_several_questions_in_one_text_are_read_apart(
    text: str, asked: list[tuple[str, str]]
) -> None:
    assert [(query.form.kind, query.form.subject) for query in parts_of(text)] == asked


def test_time_that_stands_once_is_of_every_part_of_a_sentence() -> None:
    last = FootagePart(end=10.0, unit="s_before_end")
    parts = parts_of("Are there any people or cars in the last 10 seconds?")
    assert [query.form.at for query in parts] == [last, last]
    apart = parts_of("Is there a dog in the last 10 seconds? What colour is it?")
    assert [query.form.at for query in apart] == [last, None]
    turn = Turn(question="Is there a dog in the last 10 seconds?", answer="")
    assert parse("And a cat?", [turn]).form.at == last


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
