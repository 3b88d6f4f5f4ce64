"""VNBench: needles in videos, to be retrieved, put into order and counted.

A sample is asked four times with its options rotated (`try` 0 to 3), and counts only if all four
are right. Prompt and scoring: github.com/joez17/VideoNIAH, README and evaluation/eval.py; the mean
over the nine types.
Source: arXiv:2406.09367.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import Entry, find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import contained_letter, dotted, letter_of

_VIDEO_XL = {"model": "Video-XL 7B", "source": "arXiv:2409.14485"}
CARD = BenchmarkCard(
    title="VNBench",
    measures="retrieval, order and count of needles; four rotated tries, all of them right",
    size="1,350 samples of four tries, videos of 10 seconds to three minutes",
    licence="academic research only, no commercial use",
    source="arXiv:2406.09367",
    files="VNBench-main-4try.json (or any one .json), videos below it by their names",
    mean="tasks",
    published=(
        PublishedScore(score=0.616, **_VIDEO_XL),
        PublishedScore(score=0.800, group="retrieval", **_VIDEO_XL),
        PublishedScore(score=0.806, group="ordering", **_VIDEO_XL),
        PublishedScore(score=0.240, group="counting", **_VIDEO_XL),
    ),
)
_FAMILIES = {"ret": "retrieval", "ord": "ordering", "cnt": "counting"}


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every try of every sample, in the order of the file."""
    path = find_annotations(root, "VNBench-main-4try.json", "**/VNBench*.json", "*.json")
    rows = list(read_annotations(path))
    _check_tries(rows)
    for row in rows:
        options, right = row.texts("options"), str(row["gt"])
        if right not in options:
            raise InputRefusedError(f"{row.where}: gt is none of the options")
        name, kind = str(row["video"]), str(row["type"])
        sample = f"{kind}/{Path(name).stem}"
        yield BenchmarkQuestion(
            id=f"{sample}_{row['try']}",
            video=find_media((root, root / "videos"), name),
            text=f"{row['question']}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=letter_of(options.index(right)),
            options=options,
            task=kind,
            groups=(family(kind),),
            sample=sample,
        )


def _check_tries(rows: Sequence[Entry]) -> None:
    """Refuse a file that lacks tries of a sample, which the others would pass alone.

    Raises:
        InputRefusedError: It does.
    """
    tries: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        tries.setdefault((str(row["type"]), str(row["video"])), set()).add(str(row["try"]))
    wanted = set().union(*tries.values())
    for (kind, name), seen in tries.items():
        if seen != wanted:
            missing = ", ".join(sorted(wanted - seen))
            raise InputRefusedError(
                f"{name} ({kind}) lacks try {missing}: a sample counts if all its tries are right",
                hint="the file is not the published one, or was cut",
            )


def family(kind: str) -> str:
    """Return the family of a type: retrieval, ordering or counting."""
    return next((name for key, name in _FAMILIES.items() if kind.startswith(key)), kind)


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the first letter of the alphabet that an answer holds before its first dot."""
    return contained_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
