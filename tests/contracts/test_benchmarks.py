"""What every benchmark promises: questions that can be asked, and a score between 0 and 1."""

from pathlib import Path

import pytest

from engine import plugins
from engine.evaluation import benchmarks
from engine.evaluation.benchmark import Benchmark, BenchmarkQuestion
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
    return benchmark, list(benchmark.questions(tmp_path))


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
