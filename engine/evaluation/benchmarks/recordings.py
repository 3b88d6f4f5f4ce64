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
from engine.protocols import Question
from engine.records import TimeSpan
from engine.synthetic.questions import is_right

_SOUND_ONLY = frozenset({".flac", ".wav", ".mp3"})
_SAYS_NO = re.compile(r"no\b", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\([^)]*\)")


def questions(root: Path) -> Iterator[Question]:
    """Every question of every recording that has pictures and lies in the folder."""
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
        for place, asked in enumerate(entry.get("qa", [])):
            yield Question(
                id=f"{entry['file']}/{place:02d}/{asked['kind']}",
                video=path,
                text=asked["question"],
                answer=asked["answer"],
                span=_span(asked),
            )


def score(answer: str, question: Question) -> float:
    """1 when the reply holds the answer, asides in brackets left out; strict on free wording.

    What is not so is answered by "no" and by "not found", whatever the reference adds.
    """
    wanted = _ASIDE.sub("", question.answer)
    if _SAYS_NO.match(wanted):
        return float(answer.startswith("Not found") or _SAYS_NO.match(answer) is not None)
    return float(is_right(answer, wanted))


def _span(asked: dict[str, Any]) -> TimeSpan | None:
    if asked.get("start_s") is None or asked.get("end_s") is None:
        return None
    return TimeSpan(start_s=float(asked["start_s"]), end_s=float(asked["end_s"]))
