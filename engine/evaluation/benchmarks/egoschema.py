"""EgoSchema: what somebody does over three minutes of wearing a camera.

Prompt: lmms-eval 0.7.3, egoschema. Scoring: the index of the option; its reading of letters is
that of NExT-QA here. Answers are public for 500 of the 5,031 questions
(`subset_answers.json`); the others are left out.
Source: arXiv:2308.09126; github.com/egoschema/EgoSchema: `questions.json` with `q_uid` and
`option 0` to `option 4`, or the rows of lmms-eval's mirror.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import (
    Entry,
    find_annotations,
    find_media,
    option_number,
    read_annotations,
    read_object,
)
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import dotted, letter_of, marked_letter

CARD = BenchmarkCard(
    title="EgoSchema (subset)",
    measures="long-term understanding of egocentric video; five options",
    size="500 of 5,031 questions have public answers, clips of three minutes",
    licence="Ego4D licence",
    source="arXiv:2308.09126",
    files="questions.json and subset_answers.json (or a parquet file), videos/<q_uid>.mp4",
    published=(
        PublishedScore(
            model="VideoLLaMA 2.1 7B, all 5,031", score=0.531, source="arXiv:2406.07476"
        ),
    ),
)
_TAIL = "Answer with the option's letter from the given choices directly."
_N_OPTIONS = 5


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question whose answer is known."""
    path = find_annotations(root, "questions.json", "**/questions.json", "**/test*.parquet")
    answers = next(iter(sorted(root.rglob("subset_answers.json"))), None)
    known = {} if answers is None else read_object(answers)
    for row in read_annotations(path):
        name = str(row.get("q_uid") or row["video_idx"])
        right = known.get(name, row.get("answer"))
        if right is None or right == "":
            continue
        options = _options(row)
        yield BenchmarkQuestion(
            id=name,
            video=find_media((root / "videos", root), name),
            text=f"{row['question']}\n{dotted(options)}\n{_TAIL}",
            answer=letter_of(option_number(right, _N_OPTIONS, row.where)),
            options=options,
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that an answer marks, or of the option that it spells out."""
    return marked_letter(answer, question.options)


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)


def _options(row: Entry) -> tuple[str, ...]:
    if "option" in row.values:
        # The mirror's options carry their letters.
        return tuple(text.partition(".")[2].strip() for text in row.texts("option"))
    return tuple(str(row[f"option {idx}"]) for idx in range(_N_OPTIONS))
