"""MUSIC-AVQA: what is seen and heard of music that is played, in a word.

Prompt: the question alone. Scoring: VideoLLaMA2's eval_audio_video_AVQA.py, the same word but for
case and a dot behind it. Its 42 answers are a closed set: another answer counts as unparsable.
Source: arXiv:2203.14072; github.com/GeWu-Lab/MUSIC-AVQA, data/json/avqa-test.json (`anser` is its
spelling).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import Entry, find_annotations, find_media, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore

CARD = BenchmarkCard(
    title="MUSIC-AVQA",
    measures="seeing, hearing and both together in performances of music; open, one word",
    size="45,867 questions, 9,288 videos of a minute, in all splits",
    licence="GPL-3.0 (repository); the videos are those of YouTube",
    source="arXiv:2203.14072",
    files="avqa-test.json, videos/<video_id>.mp4",
    published=(
        PublishedScore(model="VideoLLaMA 2.1 7B-AV", score=0.809, source="arXiv:2406.07476"),
    ),
)
_PLACEHOLDER = re.compile(r"<[^>]*>")


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question with its template filled, in the order of the file."""
    path = find_annotations(root, "avqa-test.json", "**/avqa-test.json")
    rows = list(read_annotations(path))
    answers = tuple(sorted({_normal(str(row["anser"])) for row in rows}))
    for row in rows:
        words = _literal(row, "type")
        if len(words) < 2:
            raise InputRefusedError(f"{row.where}: 'type' must be a scenario and a kind")
        scenario, kind = words[:2]
        yield BenchmarkQuestion(
            id=str(row["question_id"]),
            video=find_media((root / "videos", root / "video", root), str(row["video_id"])),
            text=_fill(str(row["question_content"]), _literal(row, "templ_values")),
            answer=_normal(str(row["anser"])),
            options=answers,
            task=scenario,
            groups=(f"{scenario}, {kind}",),
        )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return an answer of the closed set, `None` for any other."""
    word = _normal(answer)
    return word if word in question.options else None


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right word, else 0."""
    return float(choose(answer, question) == question.answer)


def _normal(text: str) -> str:
    return text.strip().rstrip(" .").lower()


def _fill(template: str, values: list[str]) -> str:
    """Put values into the placeholders of a template, in their order."""
    left = iter(values)
    return _PLACEHOLDER.sub(lambda match: next(left, match[0]), template).strip()


def _literal(row: Entry, key: str) -> list[str]:
    """Return a list that the file spells as a text."""
    value = row[key]
    try:
        entries = ast.literal_eval(value) if isinstance(value, str) else value
        return [str(entry) for entry in entries]
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputRefusedError(f"{row.where}: {key!r} is no list") from error
