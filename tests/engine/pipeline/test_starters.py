"""Starter questions: made of what was observed, and answered by it."""

from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.starters import MOST_QUESTIONS, starter_questions
from engine.pipeline.question_kinds import read_question
from tests.support.observations import footage, track, words

VISITS = (track("person", 7, 20), track("person", 50, 70, number=2))
DOG = track("dog", 60, 90, confidence=0.95, number=3)
SAID = words("speech", 3, 6, "Please put every parcel on the table.")
READ = words("text", 0, 9, "EXIT", box=(0.4, 0.1, 0.6, 0.2))


def test_questions_name_what_was_observed() -> None:
    questions = starter_questions(footage(*VISITS, DOG, SAID, READ))
    assert questions == (
        "How many people come by?",
        "When is the dog in view?",
        "What is said about “parcel”?",
        "What is written on the screen?",
        "What happens in this video?",
    )
    assert len(questions) <= MOST_QUESTIONS


def test_every_question_is_answered_with_evidence() -> None:
    for rows in (VISITS, (DOG,), (SAID,), (READ,), (*VISITS, DOG, SAID, READ)):
        seen = footage(*rows)
        questions = starter_questions(seen)
        assert questions
        for question in questions:
            composed = compose(seen, read_question(question))
            assert composed is not None, question
            assert composed.verdict == "answered", question
            assert composed.evidence, question


def test_nothing_observed_is_no_question() -> None:
    assert starter_questions(footage()) == ()
    assert starter_questions(footage(reach=())) == ()


def test_a_thing_that_may_be_a_mistake_is_not_asked_about() -> None:
    """A lone detector once saw a phone at confidence 1.00 in a street from above."""
    phone = track("cell phone", 2, 30, confidence=1.0)
    faint = track("dog", 2, 30, confidence=0.7, number=2)
    assert starter_questions(footage(phone, faint)) == ()


def test_a_doubtful_thing_beside_a_movement_is_no_story() -> None:
    phone = track("cell phone", 2, 30, confidence=1.0)
    moving = track("movement", 2, 30, kind="motion", number=2)
    assert starter_questions(footage(moving)) == ("What happens in this video?",)
    assert starter_questions(footage(phone, moving)) == ()
