"""Claims of encoders ground whether and when, and nothing that a look cannot tell."""

from dataclasses import replace

import pytest

from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.question_kinds import read_question
from engine.records import Evidence, TimeSpan, VideoId
from tests.support.observations import footage, track


@pytest.fixture
def claimed() -> WatchedFootage:
    """A minute in which an encoder claims what was asked for, twice."""
    seen = footage(duration_s=60)
    (item,) = seen.watched
    return replace(seen, claimed=(claim(item.video, 40, 44), claim(item.video, 8, 12)))


def claim(video: VideoId, start_s: int, end_s: int) -> Evidence:
    return Evidence(
        video=video,
        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
        score=0.8,
        origin="retrieval",
        keyframe_s=float(start_s),
    )


def ask(seen: WatchedFootage, question: str) -> Composed | None:
    return compose(seen, read_question(question))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (
            "Is there a cauliflower?",
            "Yes, by its looks: a cauliflower is in view from 0:08 to 0:12 and from 0:40 to 0:44.",
        ),
        ("When is the lion in view?", "A lion is in view from 0:08 to 0:12 and from 0:40 to 0:44."),
        ("When does the lion first appear?", "At 0:08: a lion comes into view."),
    ],
)
def test_claims_ground_an_answer(claimed: WatchedFootage, question: str, text: str) -> None:
    composed = ask(claimed, question)
    assert composed is not None
    assert (composed.text, composed.verdict) == (text, "answered")
    assert composed.evidence[0].span.start_s == 8


@pytest.mark.parametrize(
    "question",
    [
        "How many lions are there?",
        "When is the lion out of the picture?",
        "Are there two lions?",
        "Does anybody sit down?",
        "What does the lion eat?",
    ],
)
def test_a_look_tells_no_number_absence_or_doing(claimed: WatchedFootage, question: str) -> None:
    composed = ask(claimed, question)
    assert composed is None or composed.verdict != "answered"


def test_nothing_is_said_without_a_claim() -> None:
    composed = ask(footage(duration_s=60), "Is there a cauliflower?")
    assert composed is None or composed.verdict != "answered"


def test_observers_come_first(claimed: WatchedFootage) -> None:
    dog = track("dog", 20, 30, confidence=0.9)
    seen = replace(footage(dog, duration_s=60), claimed=claimed.claimed)
    composed = ask(seen, "Is there a dog?")
    assert composed is not None
    assert composed.text == "Yes: a dog is in view from 0:20 to 0:30."
