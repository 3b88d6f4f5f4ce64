"""Free answers about real footage are judged right, wrong or refused."""

import pytest

from engine.evaluation.judging import Reply, hits_moment, judge, kind_of
from engine.records import TimeSpan


def reply(text: str, *evidence: tuple[float, float], is_refusal: bool = False) -> Reply:
    spans = tuple(TimeSpan(start_s=start_s, end_s=end_s) for start_s, end_s in evidence)
    return Reply(text=text, is_refusal=is_refusal, evidence=spans)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many dogs run past?", "count"),
        ("When does the lorry come?", "when"),
        ("How long is the door open?", "when"),
        ("What colour is the car?", "colour"),
        ("Which way does the belt move?", "direction"),
        ("In which order do the items pass?", "order"),
        ("What does the sign read?", "read"),
        ("What is said to have been stolen?", "said"),
        ("Where does the cat sit?", "where"),
        ("Is there a cyclist?", "yes/no"),
        ("What animal is it?", "what"),
    ],
)
def test_a_question_has_a_kind(question: str, kind: str) -> None:
    assert kind_of(question) == kind


@pytest.mark.parametrize(
    ("question", "wanted", "given", "verdict"),
    [
        ("Is there a dog?", "No, only a cat", "No dog is seen.", "right"),
        ("Is there a dog?", "No", "Yes, at 0:03.", "wrong"),
        ("Is there a bicycle?", "Yes, a white one", "Yes: from 0:01 to 0:03.", "right"),
        ("How many people come?", "6", "Six visits; the longest from 1:33 to 1:59.", "right"),
        ("How many people come?", "2", "At 0:02 there are three people.", "wrong"),
        ("What colour is the car?", "pale blue (light blue-grey)", "The car is blue.", "right"),
        ("What colour is the car?", "red", "The car is blue.", "wrong"),
        ("What animal is in the clip?", "a dog, white and tan", "A dog.", "right"),
        ("What is said to be stolen?", "the crown jewels", '"... the crown jewels."', "right"),
        ("What does the clock read?", "00:00:10:00", "It reads 00:00:10:00.", "right"),
    ],
)
def test_words_are_judged(question: str, wanted: str, given: str, verdict: str) -> None:
    assert judge(question, wanted, None, reply(given)) == verdict


def test_a_question_of_when_is_judged_by_the_first_evidence() -> None:
    span = TimeSpan(start_s=10.0, end_s=20.0)
    question, wanted = "When is the dog in view?", "from about 10 s to 20 s"
    assert judge(question, wanted, span, reply("At 0:11.", (11.0, 19.0))) == "right"
    assert judge(question, wanted, span, reply("At 0:40.", (40.0, 44.0), (10.0, 20.0))) == "wrong"
    assert judge(question, wanted, span, reply("From 10 s to 20 s.")) == "wrong"


def test_a_moment_is_judged_by_where_the_evidence_begins() -> None:
    span = TimeSpan(start_s=6.0, end_s=7.0)
    assert judge("When does she come?", "at about 6 s", span, reply("", (6.2, 20.0))) == "right"
    assert judge("When does she come?", "at about 6 s", span, reply("", (0.0, 20.0))) == "wrong"


def test_a_refusal_is_neither_right_nor_wrong() -> None:
    given = reply("Nothing here can recognise a zebra.", is_refusal=True)
    assert judge("Is there a zebra?", "No", None, given) == "refused"


def test_a_moment_may_lie_a_second_beside_the_truth() -> None:
    truth = [TimeSpan(start_s=10.0, end_s=12.0)]
    assert [hits_moment(peak_s, truth) for peak_s in (8.9, 9.0, 12.9, 13.0)] == [
        False,
        True,
        True,
        False,
    ]
    assert hits_moment(99.0, [])
