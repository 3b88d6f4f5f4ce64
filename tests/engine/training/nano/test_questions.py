import re
from dataclasses import replace

import numpy as np

from engine.synthetic.negatives import outside_question
from engine.training.nano.chunks import Chunk, Facts, Thing, ThingName, draw_chunk
from engine.training.nano.frame_bank import draw_cards, draw_clips
from engine.training.nano.questions import KINDS, QaPair, QuestionSampler


def facts() -> Facts:
    _, clip_facts, events = draw_clips(3, 24)
    _, card_facts, _ = draw_cards(3, 40, held_out=False, takes=1)
    return Facts(clips=clip_facts, events=events, cards=card_facts, n_real=4)


def card(colour: str, shape: str, code: str, at: int = 0) -> Thing:
    return Thing("card", colour, shape, code, None, at)


def questions(chunks: list[Chunk], kind: str, n: int = 20) -> list[QaPair]:
    sampler = QuestionSampler(np.random.default_rng(0), chunks, is_canonical=True)
    return [pair for pair in sampler.ask(n, {kind: 1.0}) if pair.kind == kind]


def test_every_kind_is_asked_and_no_answer_holds_a_time() -> None:
    rng = np.random.default_rng(1)
    known = facts()
    kinds = set()
    for _ in range(60):
        chunks = [draw_chunk(rng, known, real=0.2, cards=1.0) for _ in range(rng.integers(1, 4))]
        for pair in QuestionSampler(rng, chunks).ask(8):
            kinds.add(pair.kind)
            assert not re.search(r"\d:\d|second|minute", pair.answer)
    assert kinds == set(KINDS)


def test_a_question_is_asked_only_if_one_answer_is_right() -> None:
    both = Chunk(0, (), (card("red", "star", "11"), card("red", "heart", "22", 4)))
    assert {pair.answer for pair in questions([both], "colour")} == {"Red."}
    assert not questions([both], "shape"), "two red cards: the red card's shape is ambiguous"
    codes = {(pair.text, pair.answer) for pair in questions([both], "code")}
    assert codes == {
        ("What code is on the red star card?", "11."),
        ("What code is on the red heart card?", "22."),
    }


def test_order_follows_the_chunks() -> None:
    first = Chunk(0, (), (card("red", "star", "11"),))
    second = Chunk(0, (), (Thing("car", "blue", None, None, "left", 2),))
    for chunks, answer in (([first, second], "The red star card."),
                           ([second, first], "The blue car.")):  # fmt: skip
        assert {pair.answer for pair in questions(chunks, "first")} == {answer}


def test_what_was_seen_too_briefly_is_neither_asked_for_nor_called_absent() -> None:
    rng = np.random.default_rng(2)
    known = facts()
    for _ in range(80):
        chunk = draw_chunk(rng, known, real=0.0, cards=0.0)
        for pair in QuestionSampler(rng, [chunk], is_canonical=True).ask(10, {"exist": 1.0}):
            for vague in chunk.vague:
                assert (
                    str(ThingName(vague.kind, vague.colour)) not in pair.text
                    or pair.answer == "Yes."
                )


def test_outside_questions_of_evaluation_are_new() -> None:
    rng = np.random.default_rng(0)
    train = {outside_question(rng, held_out=False) for _ in range(2000)}
    test = {outside_question(rng, held_out=True) for _ in range(300)}
    assert not train & test


def test_what_crosses_a_border_of_chunks_is_counted_once() -> None:
    car = Thing("car", "blue", None, None, "left", 6, event=(0, 0))
    here = Chunk(0, (), (car,))
    there = Chunk(1, (), (replace(car, first_frame=0),))
    other = Chunk(2, (), (Thing("car", "red", None, None, "left", 1, event=(0, 1)),))
    counts = {pair.text: pair.answer for pair in questions([here, there, other], "count", 60)}
    assert counts["How many cars are there?"] == "Two."


def test_what_one_chunk_shows_briefly_and_the_next_one_clearly_is_not_vague() -> None:
    brief = Chunk(0, (), (), vague=(Thing("dog", None, None, None, "left", 7, event=(0, 0)),))
    clear = Chunk(1, (), (Thing("dog", None, None, None, "left", 0, event=(0, 0)),))
    counted = {pair.text for pair in questions([brief], "count")}
    assert "How many dogs are there?" not in counted, "one frame is neither a dog nor none"
    assert "One." in {pair.answer for pair in questions([brief, clear], "count")}
