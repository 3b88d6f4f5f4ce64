"""Perception Test, multiple-choice video question answering, validation split.

Prompt and scoring: lmms-eval 0.7.3, perceptiontest_val_mc: a letter that is a word of its own.
Groups: the areas of the annotation.
Source: arXiv:2305.13786; `mc_question_valid.json` of github.com/google-deepmind/perception_test
(videos with their `mc_question` lists), or the rows of lmms-eval's mirror.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import (
    Entry,
    find_annotations,
    find_media,
    read_annotations,
    read_object,
)
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import dotted, letter_of, standalone_letter

CARD = BenchmarkCard(
    title="Perception Test (validation)",
    measures="memory, abstraction, physics and semantics in filmed scenes; three options",
    size="19,140 questions of the validation split, 11,600 videos in all",
    licence="CC BY 4.0",
    source="arXiv:2305.13786",
    files="mc_question_valid.json (or a parquet file), videos/<video>.mp4",
    published=(
        PublishedScore(model="Apollo 7B", score=0.673, source="arXiv:2412.10360"),
        PublishedScore(model="VideoLLaMA 2.1 7B", score=0.549, source="arXiv:2406.07476"),
    ),
)


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    path = find_annotations(
        root, "mc_question_valid.json", "**/mc_question_valid.json", "**/*.parquet"
    )
    for video, row in _rows(path):
        options = row.texts("options")
        yield BenchmarkQuestion(
            id=f"{video}/{row['question_id' if 'question_id' in row.values else 'id']}",
            video=find_media((root / "videos", root), video),
            text=f"{row['question']}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=letter_of(row.option("answer_id", len(options))),
            options=options,
            task=str(row["area"]),
            groups=(str(row["reasoning"]),),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that stands as a word of its own."""
    return standalone_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)


def _rows(path: Path) -> Iterator[tuple[str, Entry]]:
    """Yield each question with the name of its video."""
    if path.suffix == ".parquet":
        for row in read_annotations(path):
            yield str(row["video_name"]), row
        return
    for video, entry in read_object(path).items():
        if not isinstance(entry, dict):
            raise InputRefusedError(f"{path}, {video} is no object")
        for row in Entry(entry, f"{path}, {video}").rows("mc_question"):
            yield video, row
