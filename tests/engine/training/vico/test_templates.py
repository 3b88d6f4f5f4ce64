"""Each kind of question has one right answer, and it is the one given."""

import re

import numpy as np
import pytest

from engine.pipeline.query import parse, strip_options
from engine.records import TimeSpan
from engine.training.vico.clues import Clue
from engine.training.vico.templates import KINDS, OrderQuestion, QuestionKind, ask

TEXTS = ("A man wakes.", "A bus leaves.", "Two dogs fight.", "Rain falls.", "A bell rings.")


def put(kind: QuestionKind, n_clues: int, seed: int, position: int = 1) -> OrderQuestion:
    clues = [
        Clue(text=TEXTS[n], span=TimeSpan(start_s=14.0 * n, end_s=14.0 * n + 14))
        for n in range(n_clues)
    ]
    return ask(kind, clues, np.random.default_rng(seed), lambda n: position % n)


def options(question: OrderQuestion) -> dict[str, str]:
    return dict(re.findall(r"^\((\w)\) (.*)$", question.text, re.MULTILINE))


def chosen(question: OrderQuestion) -> str:
    return options(question)[question.answer.strip("()")]


@pytest.mark.parametrize("seed", range(6))
def test_right_option_is_the_true_one(seed: int) -> None:
    assert chosen(put("first", 4, seed)) == TEXTS[0]
    assert chosen(put("last", 4, seed)) == TEXTS[3]
    assert chosen(put("which_first", 2, seed)) == TEXTS[0]
    for kind, step in (("before", -1), ("after", 1)):
        question = put("before" if kind == "before" else "after", 5, seed)
        named = TEXTS.index(question.text.splitlines()[0].partition(": ")[2])
        assert chosen(question) == TEXTS[named + step]
        assert TEXTS[named] not in options(question).values()


@pytest.mark.parametrize("seed", range(6))
def test_sequence_of_numbers_is_the_order_of_time(seed: int) -> None:
    question = put("order", 4, seed)
    listed = dict(re.findall(r"^(\d)\. (.*)$", question.text, re.MULTILINE))
    assert [listed[number] for number in chosen(question).split(", ")] == list(TEXTS[:4])
    assert len(set(options(question).values())) == 4
    assert [mark for mark, _ in question.clues] == chosen(question).split(", ")


def test_written_order_holds_every_clue_once() -> None:
    question = put("write_order", 4, 3)
    assert question.answer.splitlines() == list(TEXTS[:4])
    assert sorted(re.findall(r"^- (.*)$", question.text, re.MULTILINE)) == sorted(TEXTS[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_right_option_stands_at_the_position_drawn(kind: QuestionKind) -> None:
    for position in range(2):
        question = put(kind, 2 if kind == "which_first" else 4, 0, position)
        if question.n_options:
            assert question.answer == f"({'AB'[position]})"


@pytest.mark.parametrize("kind", KINDS)
def test_clues_stand_in_time_order_with_their_marks(kind: QuestionKind) -> None:
    question = put(kind, 2 if kind == "which_first" else 4, 1)
    spans = [clue.span for _, clue in question.clues]
    assert spans == sorted(spans)
    for mark, clue in question.clues:
        if mark is not None and not mark.isdigit():
            assert options(question)[mark] == clue.text


def test_product_takes_the_options_for_options() -> None:
    question = put("first", 4, 0)
    assert "(A)" not in strip_options(question.text)
    assert parse(question.text).recall == "overview"
