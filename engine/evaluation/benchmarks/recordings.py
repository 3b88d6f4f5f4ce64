"""Real recordings with questions that people wrote, described by a `manifest.json`.

The manifest lists `clips` and `long` recordings: `file`, and `qa` with `question`, `answer`,
`start_s`, `end_s` and `kind`. Times prove an answer; they are no part of it, so a question of
when is won or lost by its evidence, which the runner records beside the score.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import InputRefusedError
from engine.protocols import BenchmarkQuestion
from engine.records import TimeSpan
from engine.synthetic.questions import is_right

_SOUND_ONLY = frozenset({".flac", ".wav", ".mp3"})
_SAYS_NO = re.compile(r"no\b", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\([^)]*\)")


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question of every recording that has pictures and lies in the folder."""
    listing = root / "manifest.json"
    if not listing.is_file():
        raise InputRefusedError(
            f"{root} has no manifest.json", hint="name the folder of recordings"
        )
    manifest = json.loads(listing.read_text(encoding="utf-8"))
    for entry in [*manifest.get("clips", []), *manifest.get("long", [])]:
        path = root / entry["file"]
        if path.suffix in _SOUND_ONLY or not path.is_file():
            continue
        for idx, item in enumerate(entry.get("qa", [])):
            yield BenchmarkQuestion(
                id=f"{entry['file']}/{idx:02d}/{item['kind']}",
                video=path,
                text=item["question"],
                answer=item["answer"],
                span=_span(item),
            )


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 when the reply holds the answer, asides in brackets left out, else 0.

    Free wording is judged strictly. Where the answer is no, "no" and "not found" are right,
    whatever the reference adds.
    """
    wanted = _ASIDE.sub("", question.answer)
    if _SAYS_NO.match(wanted):
        return float(answer.startswith("Not found") or _SAYS_NO.match(answer) is not None)
    return float(is_right(answer, wanted))


def _span(item: dict[str, Any]) -> TimeSpan | None:
    if item.get("start_s") is None or item.get("end_s") is None:
        return None
    return TimeSpan(start_s=float(item["start_s"]), end_s=float(item["end_s"]))
