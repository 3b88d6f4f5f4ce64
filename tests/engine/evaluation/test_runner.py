"""A benchmark is walked once, however often it is started."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion
from engine.evaluation.ingest_once import OpenedVideo
from engine.evaluation.runner import read, run
from engine.pipeline.engine import Engine
from engine.records import TimeSpan
from tests.support.fakes import story


class Colours:
    """Two questions about one recording."""

    CARD = BenchmarkCard(
        title="Colours",
        measures="colours",
        size="2",
        licence="none",
        source="here",
        files="wall.mp4",
        may_refuse=True,
    )

    def questions(self, root: Path) -> Iterator[BenchmarkQuestion]:
        """One that can be answered, and one whose answer is elsewhere."""
        span = TimeSpan(start_s=29.5, end_s=30.5)
        video = root / "wall.mp4"
        yield BenchmarkQuestion(
            id="1", video=video, text="When is the red flash?", answer="red", span=span
        )
        yield BenchmarkQuestion(id="2", video=video, text="What is blue?", answer="a whale")

    def choose(self, answer: str, question: BenchmarkQuestion) -> str | None:
        """The answer itself."""
        return answer or None

    def score(self, answer: str, question: BenchmarkQuestion) -> float:
        """Whether the word is there."""
        return float(question.answer in answer)


class Opened:
    """Counts how often a video was read."""

    def __init__(self) -> None:
        self.times = 0

    @contextmanager
    def __call__(self, path: Path) -> Iterator[OpenedVideo]:
        self.times += 1
        yield OpenedVideo(frames=story("grey*30 red grey*20"))


def test_every_question_leaves_a_record(build: Callable[..., Engine], tmp_path: Path) -> None:
    (tmp_path / "wall.mp4").touch()
    opened, results = Opened(), tmp_path / "results.jsonl"
    first, second = run(build(), Colours(), tmp_path, results, opened)
    assert (first.score, first.evidence_hit_at_1, first.evidence_iou) == (1.0, True, 1.0)
    assert (second.score, second.evidence_hit_at_1) == (0.0, None)
    assert read(results) == (first, second)
    assert opened.times == 1


def test_a_second_run_goes_on_where_the_first_stopped(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    (tmp_path / "wall.mp4").touch()
    opened, results = Opened(), tmp_path / "results.jsonl"
    next(run(build(), Colours(), tmp_path, results, opened))
    with results.open("a") as file:
        file.write('{"id": "2", "quest')
    # The line that a kill cut off is asked again.
    left = list(run(build(), Colours(), tmp_path, results, opened))
    assert [result.id for result in left] == ["2"]
    assert [result.id for result in read(results)] == ["1", "2"]
    assert opened.times == 1
