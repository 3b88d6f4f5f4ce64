"""AVQA: questions that take both picture and sound of everyday clips; four options.

Scoring: accuracy of the option. Its authors evaluated classifiers, so that no prompt for a model
that writes was published: this is the one of most others here.
Source: ACM Multimedia 2022, doi:10.1145/3503161.3548291; val_qa.json of mn.cs.tsinghua.edu.cn/avqa.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion
from engine.evaluation.multiple_choice import dotted, letter_of, standalone_letter

CARD = BenchmarkCard(
    title="AVQA",
    measures="relations of things seen and heard in clips of ten seconds; four options",
    size="57,335 questions, 57,015 videos, in all splits",
    licence="not stated by its authors; the videos are those of VGGSound",
    source="doi:10.1145/3503161.3548291",
    files="val_qa.json, videos/<video_name>.mp4",
)


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    path = find_annotations(root, "val_qa.json", "**/val_qa.json")
    for row in read_annotations(path):
        options = row.texts("multi_choice")
        yield BenchmarkQuestion(
            id=str(row["id"]),
            video=find_media((root / "videos", root), str(row["video_name"])),
            text=f"{row['question_text']}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=letter_of(row.option("answer", len(options))),
            options=options,
            task=str(row["question_relation"]),
            groups=(str(row["question_type"]),),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that stands as a word of its own."""
    return standalone_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
