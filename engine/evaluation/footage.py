"""Real footage with its truth: questions of a `manifest.json`, phrases of a `searches.json`.

A manifest lists `clips` and `long` recordings, each with `file` and `qa`: `question`, `answer`,
`start_s`, `end_s`, `kind`. Manifests in sub-folders count too. Searches list `query`, `kind` and
`truth`: clips with half-open spans in seconds, no span where the whole clip is true.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputRefusedError
from engine.records import TimeSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class FootageQuestion:
    """A question that somebody wrote who had seen the recording."""

    id: str
    video: Path
    text: str
    answer: str
    kind: str
    span: TimeSpan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FootageSearch:
    """A phrase, and where it is true."""

    id: str
    query: str
    kind: str
    truth: Mapping[Path, tuple[TimeSpan, ...]]
    """No spans where the whole recording is true."""


def read_questions(root: Path) -> tuple[FootageQuestion, ...]:
    """Read every question of a recording that is there.

    Raises:
        InputRefusedError: No manifest, or one that cannot be read.
    """
    questions = []
    for listing in sorted(root.rglob("manifest.json")):
        manifest = _read(listing)
        for entry in [*manifest.get("clips", []), *manifest.get("long", [])]:
            path = listing.parent / entry["file"]
            if path.is_file():
                questions += [
                    FootageQuestion(
                        id=f"{path.relative_to(root)}/{idx:02d}",
                        video=path,
                        text=item["question"],
                        answer=str(item["answer"]),
                        kind=item.get("kind", ""),
                        span=_span(item.get("start_s"), item.get("end_s")),
                    )
                    for idx, item in enumerate(entry.get("qa", []))
                ]
    if not questions:
        raise InputRefusedError(
            f"no recording with questions in {root}",
            hint="a manifest.json lists clips with their questions; see the page on benchmarks",
        )
    return tuple(questions)


def read_searches(root: Path) -> tuple[FootageSearch, ...]:
    """Read every phrase of a `searches.json` as far as its recordings are there.

    Raises:
        InputRefusedError: No such file, or one that cannot be read.
    """
    listing = root / "searches.json"
    if not listing.is_file():
        raise InputRefusedError(
            f"{root} has no searches.json",
            hint="name the folder that holds the recordings and searches.json",
        )
    clips = list_clips(root)
    searches = []
    for item in _read(listing).get("searches", []):
        truth = {
            clips[entry["clip"]]: tuple(
                TimeSpan(start_s=float(start_s), end_s=float(end_s))
                for start_s, end_s in entry["spans"]
            )
            for entry in item["truth"]
            if entry["clip"] in clips
        }
        # A phrase that is true nowhere is a test of what is claimed.
        if truth or not item["truth"]:
            searches.append(
                FootageSearch(
                    id=item["id"], query=item["query"], kind=item.get("kind", ""), truth=truth
                )
            )
    return tuple(searches)


def list_clips(root: Path) -> dict[str, Path]:
    """Return the recordings that manifests below a folder list as clips, by file name."""
    return {
        path.name: path
        for listing in sorted(root.rglob("manifest.json"))
        for entry in _read(listing).get("clips", [])
        if (path := listing.parent / entry["file"]).is_file()
    }


def videos_of(questions: Sequence[FootageQuestion]) -> tuple[Path, ...]:
    """Return the recordings that questions are about, each once."""
    return tuple(dict.fromkeys(question.video for question in questions))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputRefusedError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputRefusedError(f"{path} holds no JSON object")
    return content


def _span(start_s: int | float | None, end_s: int | float | None) -> TimeSpan | None:
    if start_s is None or end_s is None:
        return None
    return TimeSpan(start_s=float(start_s), end_s=float(end_s))
