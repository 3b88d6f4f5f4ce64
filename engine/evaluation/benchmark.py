"""A benchmark as the runner takes it: a card of facts, questions of a local copy, and a score."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from engine.errors import InputRefusedError
from engine.records import TimeSpan

EVERYTHING = "all"
"""The group of all questions."""

Mean = Literal["questions", "tasks"]
"""The headline score: the mean over all questions, or over the means of the tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScore:
    """A figure that a paper states of its own model: not measured here."""

    model: str
    score: float
    """In [0, 1], as all scores here."""
    source: str
    group: str = EVERYTHING
    """The group of questions that it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCard:
    """The facts of a benchmark that a user wants before fetching it."""

    title: str
    measures: str
    size: str
    """Questions and videos, as its paper or its data state them."""
    licence: str
    """Of the data, as its authors state it."""
    source: str
    """Origin of format, prompt and scoring."""
    files: str
    """The annotation file and the folders that a local copy holds."""
    mean: Mean = "questions"
    published: tuple[PublishedScore, ...] = ()
    may_refuse: bool = False
    """Whether "not found" is an answer; elsewhere the model answers whatever was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkQuestion:
    """One item of a benchmark: a video, a question, and what counts as right."""

    id: str
    video: Path
    """May be missing: its questions are then counted apart."""
    text: str
    """With its options and the published words behind them."""
    answer: str
    """The right answer as the benchmark's `choose` names a choice."""
    options: tuple[str, ...] = ()
    instructions: str = ""
    """Text before the question, which nothing is searched for by."""
    task: str = ""
    """Group whose mean counts where the headline is a mean over tasks."""
    groups: tuple[str, ...] = ()
    """Further groups that a score is stated of."""
    sample: str = ""
    """Questions of one sample count as one, right where all are; each by itself when empty."""
    clip: TimeSpan | None = None
    """Part of the video that is asked about; all of it when `None`."""
    span: TimeSpan | None = None
    """Moment that proves the answer, where the benchmark states one."""


@runtime_checkable
class Benchmark(Protocol):
    """A file under `engine/evaluation/benchmarks`."""

    CARD: BenchmarkCard

    def questions(self, root: Path) -> Iterator[BenchmarkQuestion]:
        """Yield every item of a local copy of the benchmark's data.

        Raises:
            InputRefusedError: No annotation file, or one that cannot be read.
        """
        ...

    def choose(self, answer: str, question: BenchmarkQuestion) -> str | None:
        """Return the choice that an answer names; `None` where it names none."""
        ...

    def score(self, answer: str, question: BenchmarkQuestion) -> float:
        """Return how right an answer is, in [0, 1]; 0 where it names no choice."""
        ...


def read_questions(benchmark: Benchmark, root: Path) -> tuple[BenchmarkQuestion, ...]:
    """Read every item of a local copy, and check that each can be answered and counted once.

    Before the first one is asked: a file that is damaged at its end would else cost the hours
    until then.

    Raises:
        InputRefusedError: No annotation file, one that cannot be read, two items of one id, or a
            right answer that is none of the choices.
    """
    items, numbers = tuple(benchmark.questions(root)), dict[str, int]()
    for number, item in enumerate(items, start=1):
        first = numbers.setdefault(item.id, number)
        if first != number:
            raise InputRefusedError(f"questions {first} and {number} have the same id {item.id!r}")
        if benchmark.choose(item.answer, item) != item.answer:
            raise InputRefusedError(
                f"question {number} ({item.id}): its right answer {item.answer!r} is no choice"
            )
    return items
