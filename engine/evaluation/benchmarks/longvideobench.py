"""LongVideoBench, validation: questions that refer to a moment of a video of up to an hour.

Prompt and scoring: lmms-eval 0.7.3, longvideobench_val_v: the first letter of an option. Subtitles
are not put between frames, as in its `_v` task.
Source: arXiv:2407.15754.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import dotted, first_letter, letter_of

CARD = BenchmarkCard(
    title="LongVideoBench (validation)",
    measures="referred reasoning over seconds to an hour; up to five options",
    size="1,337 questions, videos of 8 seconds to an hour",
    licence="CC BY-NC-SA 4.0",
    source="arXiv:2407.15754",
    files="lvb_val.json (or a parquet file), videos/<video_path>",
    published=(
        PublishedScore(model="Video-XL 7B", score=0.495, source="arXiv:2409.14485"),
        PublishedScore(model="Apollo 7B", score=0.585, source="arXiv:2412.10360"),
    ),
)
_MOST_OPTIONS = 5


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    path = find_annotations(root, "lvb_val.json", "**/lvb_val.json", "**/validation*.parquet")
    for row in read_annotations(path):
        if "candidates" in row.values:
            options = row.texts("candidates")
        else:
            texts = (str(row.get(f"option{idx}", "N/A")) for idx in range(_MOST_OPTIONS))
            options = tuple(text for text in texts if text != "N/A")
        yield BenchmarkQuestion(
            id=str(row["id"]),
            video=find_media((root / "videos", root), str(row["video_path"])),
            text=f"{row['question']}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=letter_of(row.option("correct_choice", len(options))),
            options=options,
            task=f"{row['duration_group']} s",
            groups=(str(row["question_category"]),),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter of the first option that an answer names."""
    return first_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
