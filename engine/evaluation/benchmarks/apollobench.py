"""ApolloBench: the questions of other benchmarks that neither text nor one frame answers.

Apollo's own 400 questions were announced and could not be fetched, so their format is unknown.
This reads a file of ours, which `engine.evaluation.curation` makes by the paper's rules from
records of other benchmarks: {"id", "video", "question", "options", "answer", "category",
"source"} a line, the answer a letter. A score on it is not a score on theirs.
Source: arXiv:2412.10360, section 3: letter accuracy, by category and over all questions.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import dotted, standalone_letter

_APOLLO = {"model": "Apollo 7B, the paper's 400", "source": "arXiv:2412.10360"}
CATEGORIES = ("Temporal OCR", "Egocentric", "Spatial", "Perception", "Reasoning")
CARD = BenchmarkCard(
    title="ApolloBench (curated here)",
    measures="what only video answers, in five categories",
    size="400 questions or as many as were curated, from other benchmarks",
    licence="that of the benchmarks that it is curated from",
    source="arXiv:2412.10360",
    files="apollobench.jsonl; its videos by the paths in it",
    published=(
        PublishedScore(score=0.663, **_APOLLO),
        PublishedScore(score=0.516, group="Temporal OCR", **_APOLLO),
        # The order of these two columns was read from a rotated header.
        PublishedScore(score=0.684, group="Egocentric", **_APOLLO),
        PublishedScore(score=0.675, group="Spatial", **_APOLLO),
        PublishedScore(score=0.698, group="Perception", **_APOLLO),
        PublishedScore(score=0.712, group="Reasoning", **_APOLLO),
    ),
)


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    path = find_annotations(root, "apollobench.jsonl")
    for row in read_annotations(path):
        options = row.texts("options")
        yield BenchmarkQuestion(
            id=str(row["id"]),
            video=find_media((root,), str(row["video"]), is_own=True),
            text=f"{row['question']}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=str(row["answer"]),
            options=options,
            task=str(row["category"]),
            groups=(str(row["source"]),),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that stands as a word of its own."""
    return standalone_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
