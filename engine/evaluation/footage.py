"""Real footage with its truth: questions of a `manifest.json`, phrases of a `searches.json`.

A manifest lists `clips` and `long` recordings, each with `file` and `qa`: `question`, `answer`,
`start_s`, `end_s`, `kind`. Manifests in sub-folders count too. Searches list `query`, `kind` and
`truth`: clips with half-open spans in seconds, no span where the whole clip is true.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import Entry, find_media, read_object, span_of
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
    for path, entry in _recordings(root, "clips", "long"):
        items = entry.rows("qa") if "qa" in entry.values else []
        questions += [
            FootageQuestion(
                id=f"{path.relative_to(root)}/{idx:02d}",
                video=path,
                text=str(item["question"]),
                answer=str(item["answer"]),
                kind=str(item.get("kind", "")),
                span=item.span("start_s", "end_s"),
            )
            for idx, item in enumerate(items)
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
    for item in _entries(listing, "searches"):
        truth = {
            clips[clip]: tuple(span_of(bounds, entry.where) for bounds in entry.items("spans"))
            for entry in item.rows("truth")
            if (clip := str(entry["clip"])) in clips
        }
        # A phrase that is true nowhere is a test of what is claimed.
        if truth or not item.items("truth"):
            searches.append(
                FootageSearch(
                    id=str(item["id"]),
                    query=str(item["query"]),
                    kind=str(item.get("kind", "")),
                    truth=truth,
                )
            )
    return tuple(searches)


def list_clips(root: Path) -> dict[str, Path]:
    """Return the recordings that manifests below a folder list as clips, by file name."""
    return {path.name: path for path, _ in _recordings(root, "clips")}


def videos_of(questions: Sequence[FootageQuestion]) -> tuple[Path, ...]:
    """Return the recordings that questions are about, each once."""
    return tuple(dict.fromkeys(question.video for question in questions))


def _recordings(root: Path, *keys: str) -> Iterator[tuple[Path, Entry]]:
    """Yield the recordings of every manifest below a folder that are there, with their entries."""
    for listing in sorted(root.rglob("manifest.json")):
        for entry in (entry for key in keys for entry in _entries(listing, key)):
            path = find_media((listing.parent,), str(entry["file"]), is_own=True)
            if path.is_file():
                yield path, entry


def _entries(path: Path, key: str) -> list[Entry]:
    content = Entry(read_object(path), str(path))
    return content.rows(key) if key in content.values else []
