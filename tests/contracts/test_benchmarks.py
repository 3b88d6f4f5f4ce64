"""What every benchmark promises: questions that can be asked, and a score between 0 and 1."""

import json
from pathlib import Path

import pytest

from engine import plugins
from engine.errors import InputRefusedError
from engine.evaluation import benchmarks
from engine.evaluation.benchmark import Benchmark, BenchmarkQuestion, read_questions
from tests.support.benchmark_copies import MISSING, write_copy

DEFINES = ("CARD", "questions", "choose", "score")
NAMES = plugins.names(benchmarks)


def loaded(name: str) -> Benchmark:
    module: Benchmark = plugins.load(
        benchmarks, name, defines=("CARD", "questions", "choose", "score")
    )
    return module


@pytest.fixture(params=NAMES)
def asked(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Benchmark, list[BenchmarkQuestion]]:
    benchmark = loaded(request.param)
    write_copy(request.param, tmp_path)
    return benchmark, list(read_questions(benchmark, tmp_path))


def test_questions_have_ids_of_their_own_and_a_video(
    asked: tuple[Benchmark, list[BenchmarkQuestion]],
) -> None:
    _, questions = asked
    assert questions
    assert len({question.id for question in questions}) == len(questions)
    assert all(
        question.text and (question.video.exists() or MISSING in str(question.video))
        for question in questions
    )


def test_a_card_says_what_a_user_wants_before_fetching_it(
    asked: tuple[Benchmark, list[BenchmarkQuestion]],
) -> None:
    card = asked[0].CARD
    for fact in (card.title, card.measures, card.size, card.licence, card.source, card.files):
        assert fact
    assert all(0 < figure.score < 1 and figure.source for figure in card.published)


def test_the_answer_itself_is_right_and_nonsense_is_wrong(
    asked: tuple[Benchmark, list[BenchmarkQuestion]],
) -> None:
    benchmark, questions = asked
    for question in questions:
        assert benchmark.score(question.answer.splitlines()[0], question) == 1.0
        assert benchmark.choose(question.answer.splitlines()[0], question) is not None
        assert benchmark.score("zzz", question) == 0.0
        assert benchmark.score("", question) == 0.0


def test_items_that_would_be_scored_wrongly_are_refused_before_the_first_is_asked(
    tmp_path: Path,
) -> None:
    benchmark = loaded("apollobench")
    row = {"id": "1", "video": "a.mp4", "question": "Which?", "options": ["x", "y"]}
    row |= {"answer": "B", "category": "ocr", "source": "s"}
    path = tmp_path / "apollobench.jsonl"

    def write(**changes: str) -> None:
        path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": "2"} | changes) + "\n")

    write()
    assert [item.id for item in read_questions(benchmark, tmp_path)] == ["1", "2"]
    write(id="1")
    with pytest.raises(InputRefusedError, match="questions 1 and 2 have the same id '1'"):
        read_questions(benchmark, tmp_path)
    for answer in ("C", "b", "y", "A or B"):
        write(answer=answer)
        with pytest.raises(InputRefusedError, match=r"question 2 \(2\): its right answer"):
            read_questions(benchmark, tmp_path)
