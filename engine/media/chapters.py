"""Chapters: the files into which a camera cuts one recording, told by their names."""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

# GX010001, GX020001 (letter of the codec, chapter, number), and before 2018 GOPR0001, GP010001.
_GOPRO: Final = re.compile(r"G(?P<kind>[HXLS])(?P<part>\d\d)(?P<number>\d{4})", re.IGNORECASE)
_GOPRO_FIRST: Final = re.compile(r"GOPR(?P<number>\d{4})", re.IGNORECASE)
_GOPRO_NEXT: Final = re.compile(r"GP(?P<part>\d\d)(?P<number>\d{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A place in a recording that a camera has cut into files."""

    recording: str
    part: int
    """Counts from 1."""


def chapter_of(name: str) -> FilePart | None:
    """Return the chapter that a file is by its name; `None` where the name does not say."""
    stem = PurePath(name).stem
    if match := _GOPRO.fullmatch(stem):
        part, recording = int(match["part"]), f"G{match['kind']}{match['number']}".upper()
        return FilePart(recording=recording, part=part) if part else None
    if match := _GOPRO_FIRST.fullmatch(stem):
        return FilePart(recording=f"GOPR{match['number']}", part=1)
    if match := _GOPRO_NEXT.fullmatch(stem):
        return FilePart(recording=f"GOPR{match['number']}", part=int(match["part"]) + 1)
    return None


def is_gopro(name: str) -> bool:
    """Return whether a file is named as GoPro cameras name theirs."""
    return chapter_of(name) is not None


def file_order(path: PurePath) -> tuple[object, ...]:
    """Return the key that sorts files as recorded: by folder, chapter, numbers by value."""
    chapter = chapter_of(path.name)
    name = path.name if chapter is None else chapter.recording
    return (
        path.parent.parts,
        [
            (not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece.lower())
            for piece in re.split(r"(\d+)", name)
        ],
        0 if chapter is None else chapter.part,
        path.name,
    )
