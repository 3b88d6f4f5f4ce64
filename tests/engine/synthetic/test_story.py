import numpy as np
import pytest

from engine.synthetic.grammar import CANNOT_TELL, COUNTS
from engine.synthetic.questions import is_right, questions
from engine.synthetic.story import draw_story


def test_the_same_seed_draws_the_same_video() -> None:
    first, second = draw_story(3, 24, 1.0), draw_story(3, 24, 1.0)
    assert first.events == second.events
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_events_have_names_of_their_own_and_do_not_overlap() -> None:
    story = draw_story(5, 300, 1.0)
    names = [event.name for event in story.events]
    assert len(set(names)) == len(names) >= 10
    for before, after in zip(story.events, story.events[1:], strict=False):
        assert before.span.end_s <= after.span.start_s


def test_a_frame_shows_an_event_only_during_its_span() -> None:
    story = draw_story(8, 120, 1.0)
    card = next(event for event in story.events if event.card)
    middle = story.frame(card.span.start_s + card.span.duration_s / 2).astype(float)
    before = story.frame(card.span.start_s - 0.5).astype(float)
    assert np.abs(middle - before).mean() > 20


def test_actors_cross_in_the_stated_direction() -> None:
    story = draw_story(2, 600, 1.0)
    moving = [event for event in story.events if event.direction]
    assert {event.direction for event in moving} == {"left", "right"}
    for event in moving[:6]:
        empty = story.frame(event.span.end_s + 0.01).astype(float)
        places = []
        for part in (0.3, 0.7):
            shown = story.frame(event.span.start_s + part * event.span.duration_s).astype(float)
            changed = np.abs(shown - empty).sum(axis=2) > 90
            places.append(np.nonzero(changed)[1].mean())
        assert (places[1] > places[0]) == (event.direction == "right")


def test_questions_name_one_event_each() -> None:
    story = draw_story(4, 240, 1.0)
    asked = questions(story)
    assert {"code", "direction", "where", "exist", "when", "first"} <= {q.kind for q in asked}
    assert len({q.text for q in asked}) == len(asked)
    assert all(q.span is not None and q.answer != CANNOT_TELL for q in asked)


def test_every_kind_that_is_shown_is_counted() -> None:
    story = draw_story(4, 240, 1.0)
    counted = {q.text: q for q in questions(story) if q.kind == "count"}
    assert len(counted) == len({event.kind for event in story.events})
    for question in counted.values():
        said = int(question.aliases[0])
        assert question.answer == COUNTS[said]
        assert len(question.spans) == said


def test_order_cannot_be_guessed_from_the_wording() -> None:
    asked = questions(draw_story(4, 300, 1.0))
    for question in asked:
        if question.kind == "before":
            assert question.answer.endswith(" came first.")
    named_first = [q.text.split(",")[1].startswith(f" {q.answer[:-1].lower()}") for q in asked
                   if q.kind == "first"]  # fmt: skip
    assert 0.3 < sum(named_first) / len(named_first) < 0.7


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("A star.", "A star.", True),
        ("it is a red star", "A star.", True),
        ("To the left.", "To the right.", False),
        ("I can not tell", "No.", False),
        ("No.", "No.", True),
        ("There is no car, yes", "Yes.", False),
        ("47", "47.", True),
        ("147", "47.", False),
    ],
)
def test_a_reply_is_judged_by_whole_words(reply: str, answer: str, right: bool) -> None:
    assert is_right(reply, answer) == right
