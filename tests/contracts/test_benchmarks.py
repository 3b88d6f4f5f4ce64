"""What every benchmark promises: questions that can be asked, and a score between 0 and 1."""

import json
from pathlib import Path

import pytest

from engine import plugins
from engine.evaluation import benchmarks
from engine.protocols import Benchmark, BenchmarkQuestion
from tests.support.synthetic import spelled_video

NAMES = plugins.names(benchmarks)


def data(name: str, root: Path) -> Path:
    """A local copy of a benchmark's data, as small as can be."""
    if name == "recordings":
        spelled_video(root / "clip.mp4", 10)
        asked = {"question": "Is there a dog?", "answer": "No", "kind": "absent"}
        timed = {"question": "When?", "answer": "at 1 s", "start_s": 1, "end_s": 2, "kind": "event"}
        entry = {"file": "clip.mp4", "qa": [{**asked, "start_s": None, "end_s": None}, timed]}
        (root / "manifest.json").write_text(json.dumps({"clips": [entry], "long": []}))
    if name == "drawn":
        from engine.evaluation.benchmarks.drawn import SEEDS

        for seed in SEEDS:  # What is there is not drawn again.
            (root / f"story-{seed}.mp4").touch()
    return root


def loaded(name: str) -> Benchmark:
    module: Benchmark = plugins.load(benchmarks, name, defines=("questions", "score"))  # type: ignore[assignment]
    return module


@pytest.fixture(params=NAMES)
def asked(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Benchmark, list[BenchmarkQuestion]]:
    benchmark = loaded(request.param)
    return benchmark, list(benchmark.questions(data(request.param, tmp_path)))


def test_questions_have_ids_of_their_own_and_a_video(
    asked: tuple[Benchmark, list[BenchmarkQuestion]],
) -> None:
    _, questions = asked
    assert questions
    assert len({question.id for question in questions}) == len(questions)
    assert all(question.video.is_file() and question.text for question in questions)


def test_the_answer_itself_is_right_and_nonsense_is_wrong(
    asked: tuple[Benchmark, list[BenchmarkQuestion]],
) -> None:
    benchmark, questions = asked
    for question in questions:
        assert benchmark.score(question.answer.splitlines()[0], question) == 1.0
        assert benchmark.score("zzz", question) == 0.0
        assert benchmark.score("", question) == 0.0
