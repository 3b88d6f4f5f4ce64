"""People's own training data: LLaVA-style JSON or JSONL beside folders of media.

A sample has an `image`, a `video` or an `audio` (a name or a list of names, or several of these
fields) and `conversations`, turns of `human` and `gpt` in alternation; a leading `system` turn is
passed over, and so is every field not named here. `<image>`, `<video>` and `<audio>` marks say
where media stand. Where a sample has files of one kind only, any mark stands for them. A single
file stands in front of the first question wherever its mark is, as the field's own loaders have
it and as the product asks; so do files without any marks. A sample without files is text alone.

A bad sample is named with its file and line, and skipped.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from engine.errors import InputRefusedError, NotFoundError
from engine.records import Turn

KINDS: Final = ("image", "video", "audio")
SPEAKERS: Final = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}
"""Speakers by their names in the field's formats."""
_MARK = re.compile(r"<(image|video|audio)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSource:
    """A file of samples, the folder of its media, and how often it is drawn from."""

    file: Path
    media: Path
    weight: float = 1.0
    """How often each of its samples is drawn, beside those of a source of weight 1."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight of {self.file} must be above 0, not {self.weight!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation about some media."""

    location: str
    """File and line, for messages."""
    media: tuple[Path, ...]
    """In the order of their marks."""
    turns: tuple[Turn, ...]
    """Without marks."""
    marked: tuple[tuple[str | Path, ...], ...] = ()
    """The words and the media of every question in their order; empty where all media stand in
    front of the first one."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSample:
    """A sample that cannot be used, and why."""

    location: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFile:
    """The samples of one or several files, the unusable ones apart."""

    samples: tuple[Sample, ...]
    bad: tuple[BadSample, ...]


def read_samples(path: Path, media: Path, *, weight: float = 1.0) -> SampleFile:
    """Read a `.json` list or a `.jsonl` file.

    Args:
        path: The conversations.
        media: The folder that names of images and videos are relative to.
        weight: Of each of its samples.
    Raises:
        NotFoundError: No such file.
        InputRefusedError: A `.json` file that is not a list.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no {path}")
    samples: list[Sample] = []
    bad: list[BadSample] = []
    for location, entry in _entries(path):
        try:
            samples.append(_parse(location, entry, media, weight))
        except (ValueError, OSError) as error:
            bad.append(BadSample(location=location, reason=str(error)))
    return SampleFile(samples=tuple(samples), bad=tuple(bad))


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.suffix == ".jsonl":
        # Not `splitlines`: JSON strings may hold other line ends as they are.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"{path.name}, line {number}", _loaded(line)
        return
    entries = _loaded(text)
    if not isinstance(entries, list):
        raise InputRefusedError(f"{path} must hold a JSON list of samples")
    for number, entry in enumerate(entries, start=1):
        yield f"{path.name}, sample {number}", entry


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return ValueError(f"not JSON ({error})")


def _parse(location: str, entry: Any, media: Path, weight: float) -> Sample:
    """Parse one sample.

    Raises:
        ValueError: Says what is wrong with it.
    """
    if isinstance(entry, ValueError):
        raise entry
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    files = {kind: _files(entry, kind, media) for kind in KINDS}
    questions, answers = _questions_and_answers(entry)
    if any(_MARK.search(text) for text in answers):
        raise ValueError("a turn of gpt has a mark; media belong into human turns")
    marked = _marked(questions, files)
    turns = [
        Turn(question=_MARK.sub("", question).strip(), answer=answer.strip())
        for question, answer in zip(questions, answers, strict=True)
    ]
    if not all(question.strip() for question in questions):
        raise ValueError("a turn of human is empty")
    if not all(turn.answer for turn in turns):
        raise ValueError("a turn of gpt is empty")
    in_order = [piece for pieces in marked for piece in pieces if isinstance(piece, Path)]
    in_fields = [path for kind in KINDS for path in files[kind]]
    return Sample(
        location=location,
        media=tuple(in_order or in_fields),
        turns=tuple(turns),
        marked=() if _is_in_front(marked) else marked,
        weight=weight,
    )


def _files(entry: dict[str, Any], kind: str, media: Path) -> list[Path]:
    named = entry.get(kind) or entry.get(f"{kind}s") or []
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{kind} must be a file name or a list of file names")
    return [_inside(media, name) for name in names]


def _questions_and_answers(entry: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the human turns and the answers to them."""
    turns = entry.get("conversations") or entry.get("messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("conversations must be a list of turns")
    speeches = [
        (turn.get("from", turn.get("role")), turn.get("value", turn.get("content")))
        for turn in turns
    ]
    if speeches and speeches[0][0] == "system":
        speeches = speeches[1:]
    if len(speeches) < 2 or len(speeches) % 2:
        raise ValueError("conversations must alternate between human and gpt")
    for number, (speaker, text) in enumerate(speeches):
        expected = ("human", "gpt")[number % 2]
        if not isinstance(speaker, str) or SPEAKERS.get(speaker) != expected:
            raise ValueError(f"a turn that should be {expected}'s is not")
        if not isinstance(text, str):
            raise ValueError(f"a turn of {expected} has no text")
    texts = [text for _, text in speeches]
    return texts[::2], texts[1::2]


def _marked(
    questions: Sequence[str], files: dict[str, list[Path]]
) -> tuple[tuple[str | Path, ...], ...]:
    """Return questions with media in the places of their marks; empty without marks.

    Raises:
        ValueError: There are not as many marks as media.
    """
    marks = Counter(kind for text in questions for kind in _MARK.findall(text))
    counts = {kind: len(paths) for kind, paths in files.items() if paths}
    if not marks:
        return ()
    if len(counts) == 1:
        is_fitting = marks.total() == sum(counts.values())
        queue = iter(next(paths for paths in files.values() if paths))
        queues = dict.fromkeys(KINDS, queue)
    else:
        is_fitting = dict(marks) == counts
        queues = {kind: iter(paths) for kind, paths in files.items()}
    if not is_fitting:
        raise ValueError(f"{_counted(marks) or 'no'} marks for {_counted(counts) or 'no'} files")
    return tuple(tuple(_pieces(text, queues)) for text in questions)


def _counted(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _pieces(text: str, queues: dict[str, Iterator[Path]]) -> Iterator[str | Path]:
    """Yield the words and media of one question, without white space around it."""
    for number, piece in enumerate(_MARK.split(text.strip())):
        if number % 2:
            yield next(queues[piece])
        elif piece:
            yield piece


def _is_in_front(marked: Sequence[Sequence[str | Path]]) -> bool:
    """Say whether all media stand in front, or a lone one may be put there."""
    n_media = sum(isinstance(piece, Path) for pieces in marked for piece in pieces)
    first = marked[0] if marked else ()
    leading = takewhile(lambda piece: isinstance(piece, Path) or not piece.strip(), first)
    n_leading = sum(isinstance(piece, Path) for piece in leading)
    is_alone = n_media == 1 and any(isinstance(piece, Path) for piece in first)
    return is_alone or n_leading == n_media


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside the media folder")
    if not path.is_file():
        raise ValueError(f"there is no {name}")
    return path
