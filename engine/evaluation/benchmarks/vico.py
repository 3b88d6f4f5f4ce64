"""VICO: in which order what a video shows was seen, as `longwatch vico` asks it.

Wordings, options and right letters are those of the file; what is to be written in its order has no
letter and is left out. An answer names a letter only where it begins with one and nothing but a
bracket, a dot or the end stands behind it: "A red car." names none.
Source: the idea is Video-XL's (arXiv:2409.14485, section on training data); form and reading are
this project's.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion

CARD = BenchmarkCard(
    title="VICO",
    measures="order of what a video shows: multiple choice of two to four, by letter",
    size="as many as were made of one's own videos",
    licence="of these videos",
    source="this project, after arXiv:2409.14485",
    files="vico.jsonl, and the videos that it names",
)
_LETTER = re.compile(r"\(?([A-D])(?:[).:]|$)")
_OPTION = re.compile(r"^\([A-D]\) .*$", re.MULTILINE)


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield the questions with options, in the order of the file."""
    for entry in read_annotations(find_annotations(root, "vico.jsonl")):
        turns = [str(turn["value"]) for turn in entry.rows("conversations")]
        if len(turns) != 2:
            raise InputRefusedError(f"{entry.where} has {len(turns)} turns: a question has two")
        human, right = turns
        text = human.removeprefix("<video>").strip()
        options = tuple(_OPTION.findall(text))
        if not options:
            continue
        kind = str(entry.nested("vico")["kind"])
        yield BenchmarkQuestion(
            id=str(entry["id"]),
            video=find_media((root,), str(entry["video"]), is_own=True),
            text=text,
            answer=right.strip("()"),
            options=options,
            task=kind,
            groups=(f"{len(options)} options",),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that an answer begins with, in brackets or before a dot or its end."""
    match = _LETTER.match(answer.strip())
    return None if match is None else match[1]


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
