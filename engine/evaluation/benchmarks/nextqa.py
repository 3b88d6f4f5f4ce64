"""NExT-QA, multiple choice: why and how in clips of everyday life.

Prompt and reading of letters: lmms-eval 0.7.3, nextqa_mc_test. Groups: the causal, temporal and
descriptive questions of NExT-QA's eval_mc.py.
Source: arXiv:2105.08276; github.com/doc-doc/NExT-QA, dataset/nextqa/test.csv and
map_vid_vidorID.json.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import (
    find_annotations,
    find_media,
    read_annotations,
    read_object,
)
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion
from engine.evaluation.multiple_choice import dotted, letter_of, marked_letter

CARD = BenchmarkCard(
    title="NExT-QA (multiple choice)",
    measures="causal and temporal reasoning in clips of 44 seconds on average; five options",
    size="8,564 questions of the test split, 5,440 videos in all",
    licence="MIT (annotations); the videos are those of VidOR",
    source="arXiv:2105.08276",
    files="test.csv (or val.csv, a parquet file), NExTVideo/<video>.mp4 or VidOR's folders with "
    "map_vid_vidorID.json",
)
_KINDS = {"C": "causal", "T": "temporal", "D": "descriptive"}
_N_OPTIONS = 5


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    path = find_annotations(
        root, "test.csv", "**/test.csv", "**/MC/test*.parquet", "**/test*.parquet", "**/val.csv"
    )
    listing = next(iter(sorted(root.rglob("map_vid_vidorID.json"))), None)
    folders_of = {} if listing is None else read_object(listing)
    media = (root / "NExTVideo", root / "videos", root)
    for row in read_annotations(path):
        video = str(row["video"])
        options = tuple(str(row[f"a{idx}"]).strip() for idx in range(_N_OPTIONS))
        file = find_media(media, video)
        if not file.exists() and video in folders_of:
            file = find_media(media, str(folders_of[video]))
        kind = str(row["type"])
        yield BenchmarkQuestion(
            id=f"{video}_{row['qid']}",
            video=file,
            text=f"{str(row['question']).strip()}\n{dotted(options)}\n"
            "Answer with the option's letter from the given choices directly.",
            answer=letter_of(row.option("answer", _N_OPTIONS)),
            options=options,
            task=_KINDS.get(kind[:1], kind),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that an answer marks, or of the option that it spells out."""
    return marked_letter(answer, question.options)


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
