"""People's own training data: LLaVA-style JSON or JSONL beside a folder of media.

A sample has an `image`, a `video` or an `audio` (or a list of them) and `conversations`, turns of
`human` and `gpt` in alternation; `<image>`, `<video>` or `<audio>` marks stand where they go,
which here is before everything else. A bad sample is named with its line and skipped.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Int64
from torch import Tensor

from engine.errors import InputRefusedError, NotFoundError
from engine.nn.tokenizer import Tokenizer
from engine.records import Turn
from engine.training.reader_stage import IGNORED

MARKS: Final = ("<image>", "<video>", "<audio>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation about some media."""

    place: str
    """Where it stands, for messages: file and line."""
    media: tuple[Path, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSample:
    """A sample that cannot be used, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFile:
    """What a file holds."""

    samples: tuple[Sample, ...]
    bad: tuple[BadSample, ...]


def read_samples(path: Path, media: Path) -> SampleFile:
    """Read a `.json` list or a `.jsonl` file.

    Args:
        path: The conversations.
        media: The folder that names of images and videos are relative to.
    Raises:
        NotFoundError: No such file.
        InputRefusedError: A `.json` file that is not a list.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no {path}")
    samples: list[Sample] = []
    bad: list[BadSample] = []
    for place, entry in _entries(path):
        try:
            samples.append(_parse(place, entry, media))
        except ValueError as error:
            bad.append(BadSample(place=place, reason=str(error)))
    return SampleFile(samples=tuple(samples), bad=tuple(bad))


def tokenise(
    turns: Sequence[Turn], tokenizer: Tokenizer
) -> tuple[Int64[Tensor, " token"], Int64[Tensor, " token"]]:
    """The text behind the video, and its labels before shifting.

    Source: upstream's qwen template labels the marks that open and close a turn and its final
    newline in every turn, and words in the assistant's turns only.
    """
    ids: list[int] = []
    labels: list[int] = []

    def add(tokens: list[int], *, is_labelled: bool) -> None:
        ids.extend(tokens)
        labels.extend(tokens if is_labelled else [IGNORED] * len(tokens))

    start, end = tokenizer.control("<|im_start|>"), tokenizer.control("<|im_end|>\n")
    for number, turn in enumerate(turns):
        if number:
            add(start, is_labelled=True)
            add(tokenizer.control("user"), is_labelled=False)
        add(tokenizer.plain(f"\n{turn.question}"), is_labelled=False)
        add(end, is_labelled=True)
        add(start, is_labelled=True)
        add(tokenizer.control("assistant\n"), is_labelled=False)
        add(tokenizer.plain(turn.answer), is_labelled=True)
        add(end, is_labelled=True)
    return torch.tensor(ids), torch.tensor(labels)


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"{path.name}, line {number}", _loaded(line)
        return
    whole = _loaded(text)
    if not isinstance(whole, list):
        raise InputRefusedError(f"{path} must hold a JSON list of samples")
    for number, entry in enumerate(whole, start=1):
        yield f"{path.name}, sample {number}", entry


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        return error


def _parse(place: str, entry: Any, media: Path) -> Sample:
    """One sample.

    Raises:
        ValueError: Says what is wrong with it.
    """
    if isinstance(entry, ValueError):
        raise ValueError(f"not JSON ({entry})")
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    named: Any = entry.get("video") or entry.get("image") or entry.get("audio") or []
    names = [named] if isinstance(named, str) else list(named)
    said = entry.get("conversations")
    if not isinstance(said, list) or len(said) < 2 or len(said) % 2:
        raise ValueError("conversations must alternate between human and gpt")
    return Sample(
        place=place,
        media=tuple(_inside(media, str(name)) for name in names),
        turns=tuple(
            Turn(question=_words(asked, "human"), answer=_words(told, "gpt"))
            for asked, told in zip(said[::2], said[1::2], strict=True)
        ),
    )


def _words(turn: Any, speaker: str) -> str:
    if not isinstance(turn, dict) or turn.get("from") != speaker:
        raise ValueError(f"a turn that should be {speaker}'s is not")
    text = turn.get("value")
    if not isinstance(text, str):
        raise ValueError(f"a turn of {speaker} has no text")
    for mark in MARKS:
        text = text.replace(mark, "")
    if not text.strip():
        raise ValueError(f"a turn of {speaker} is empty")
    return text.strip()


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside the media folder")
    if not path.is_file():
        raise ValueError(f"there is no {name}")
    return path
