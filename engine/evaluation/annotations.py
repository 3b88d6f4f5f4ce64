"""Rows of published annotation files: JSON, JSON lines, CSV, and parquet where pyarrow is there."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputRefusedError, MissingCapabilityError
from engine.records import TimeSpan

VIDEO_ENDINGS = ("", ".mp4", ".MP4", ".mkv", ".webm", ".avi", ".mov")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an annotation file that names itself where a field is missing."""

    values: Mapping[str, Any]
    where: str

    def __getitem__(self, key: str) -> Any:
        if key not in self.values or self.values[key] is None:
            raise InputRefusedError(
                f"{self.where} has no {key!r}", hint="the file is not the published one"
            )
        return self.values[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field that may be missing."""
        value = self.values.get(key)
        return default if value is None else value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, at least one.

        Raises:
            InputRefusedError: There is none, or it is empty.
        """
        items = self.items(key)
        if not items:
            raise InputRefusedError(f"{self.where}: {key!r} is empty")
        return tuple(map(str, items))

    def items(self, key: str) -> list[Any]:
        """Return a list, also of a numpy array that a table reader made of it."""
        value = self[key]
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, list | tuple):
            raise InputRefusedError(f"{self.where}: {key!r} is no list")
        return list(value)

    def option(self, key: str, n_options: int) -> int:
        """Return the number of an option, from 0.

        Raises:
            InputRefusedError: There is none, or no option has that number.
        """
        return option_number(self[key], n_options, self.where)

    def span(self, start: str, end: str) -> TimeSpan | None:
        """Return the stretch between two fields in seconds; `None` where either is missing.

        Raises:
            InputRefusedError: They hold no such stretch.
        """
        bounds = self.get(start), self.get(end)
        return None if None in bounds else span_of(bounds, self.where)

    def nested(self, key: str) -> "Entry":
        """Return a nested entry."""
        return _row(self[key], f"{self.where}, {key}")

    def rows(self, key: str) -> "list[Entry]":
        """Return a list of nested entries."""
        return [
            _row(item, f"{self.where}, {key} {number}")
            for number, item in enumerate(self.items(key), start=1)
        ]


def find_annotations(root: Path, *patterns: str) -> Path:
    """Return the first annotation file below a folder that one of several patterns names.

    Raises:
        InputRefusedError: None is there; the message names the first pattern.
    """
    for pattern in patterns:
        matches = sorted(path for path in root.glob(pattern) if path.is_file())
        if matches:
            return matches[0]
    raise no_annotations(root, patterns[0])


def no_annotations(root: Path, name: str) -> InputRefusedError:
    """Return the refusal of a folder that is no local copy."""
    return InputRefusedError(
        f"{root} holds no {name}",
        hint="name the folder of the local copy; the list of benchmarks says what it holds",
    )


def read_annotations(path: Path) -> Iterator[Entry]:
    """Yield the entries of an annotation file: rows of a table, or of a list of objects.

    Raises:
        InputRefusedError: It cannot be read as what its ending says.
        MissingCapabilityError: A parquet file, and no reader of those is installed.
    """
    if path.suffix == ".parquet":
        entries = _read_parquet(path)
    elif path.suffix == ".csv":
        yield from _read_table(path)
        return
    elif path.suffix == ".jsonl":
        # At line feeds alone: texts hold other characters that end a line elsewhere.
        for number, line in enumerate(_text_of(path).split("\n"), start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield _row(_parse(line, where), where)
        return
    else:
        entries = _parse(_text_of(path), str(path))
        if not isinstance(entries, list):
            raise InputRefusedError(f"{path} holds no list")
    for number, entry in enumerate(entries, start=1):
        yield _row(entry, f"{path}, entry {number}")


def read_object(path: Path) -> Mapping[str, Any]:
    """Return the object of a JSON file.

    Raises:
        InputRefusedError: It holds none.
    """
    content = _parse(_text_of(path), str(path))
    if not isinstance(content, dict):
        raise InputRefusedError(f"{path} holds no object")
    return content


def option_number(value: Any, n_options: int, where: str) -> int:
    """Return the number of an option, from 0.

    Args:
        value: As a file has it: a number, or a text of one.
        n_options: Options of the question.
        where: What to call the entry in an error.
    Raises:
        InputRefusedError: No option has that number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number not in range(n_options):
        raise InputRefusedError(
            f"{where}: the right option must be a number from 0 to {n_options - 1}, not {value!r}"
        )
    return int(number)


def span_of(bounds: Any, where: str) -> TimeSpan:
    """Return a stretch of media time.

    Args:
        bounds: Its start and end in seconds, as a file has them: numbers, or texts of numbers.
        where: What to call the entry in an error.
    Raises:
        InputRefusedError: They are no such stretch.
    """
    try:
        start_s, end_s = map(float, bounds)
        return TimeSpan(start_s=start_s, end_s=end_s)
    except (TypeError, ValueError) as error:
        raise InputRefusedError(
            f"{where}: a stretch must be a start and an end in seconds, not {bounds!r}"
        ) from error


def find_media(folders: tuple[Path, ...], name: str, *, is_own: bool = False) -> Path:
    """Return a video by its name in one of several folders; where it would lie if it is missing.

    Args:
        is_own: Whether the annotations are the user's own, and may name a file anywhere.
    Raises:
        InputRefusedError: The name is empty, or leads out of the folders.
    """
    path = Path(name)
    leads_out = path.is_absolute() or ".." in path.parts
    if not path.parts or (leads_out and not is_own):
        raise InputRefusedError(
            f"the annotations name a video {name!r}: only names below the folder are read",
            hint="the file is not the published one",
        )
    for folder in folders:
        for ending in VIDEO_ENDINGS:
            path = folder / f"{name}{ending}"
            if path.exists():
                return path
    return folders[0] / name


def _text_of(path: Path) -> str:
    """Return the text of a file; a mark of its byte order is no part of it."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputRefusedError(
            f"{path}, line {line} is no UTF-8", hint="save the file as UTF-8"
        ) from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputRefusedError(f"{where} is no JSON: {error}") from error


def _read_table(path: Path) -> Iterator[Entry]:
    """Yield the rows of a CSV file; one whose columns are not those of the head is refused.

    A comma that nobody quoted would move every text behind it.
    """
    reader = csv.DictReader(io.StringIO(_text_of(path), newline=""), strict=True)
    try:
        for entry in reader:
            where = f"{path}, line {reader.line_num}"
            if None in entry or None in entry.values():
                raise InputRefusedError(
                    f"{where} has not the {len(reader.fieldnames or ())} columns of the first line"
                )
            yield _row(entry, where)
    except csv.Error as error:
        raise InputRefusedError(f"{path}, line {reader.line_num}: {error}") from error


def _row(entry: Any, where: str) -> Entry:
    if not isinstance(entry, dict):
        raise InputRefusedError(f"{where} is no object")
    return Entry(entry, where)


def _read_parquet(path: Path) -> list[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingCapabilityError(
            f"{path.name} is a parquet file, and pyarrow is not installed",
            hint="pip install pyarrow, or convert the file to JSON lines",
        ) from error
    try:
        return list(parquet.read_table(path).to_pylist())
    except (ArrowException, OSError) as error:
        raise InputRefusedError(f"{path} is no parquet file: {error}") from error
