"""A record of what a program does to the disk and to the database, in order."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event


class DiskLog:
    """Flushes, renames and changes of tables as they happened: a verb and the names it is about.

    `("fsync", "a.part")`, `("rename", "a.part", "a")`, `("UPDATE", "uploads")`; the name of a
    folder ends in a slash.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.entries: list[tuple[str, ...]] = []

    def add(self, verb: str, *paths: str) -> None:
        """Append an entry about files below the root; others are left out."""
        files = [Path(path) for path in paths]
        if all(file.is_relative_to(self._root) for file in files):
            names = [f"{file.name}/" if file.is_dir() else file.name for file in files]
            self.entries.append((verb, *names))

    def index(self, verb: str, *names: str) -> int:
        """Return the position of the first such entry; a missing one fails the test."""
        assert (verb, *names) in self.entries, f"no {(verb, *names)} in {self.entries}"
        return self.entries.index((verb, *names))


@contextmanager
def record_disk(root: Path) -> Iterator[DiskLog]:
    """Record every flush and rename below `root`, and every change of a table of any database.

    All calls go through; only their order is recorded. A change is recorded when its statement
    runs, which is before its commit.
    """
    log = DiskLog(root)

    def recorded_flush(call: Callable[[int], None]) -> Callable[[Any], None]:
        def flush(file: Any) -> None:
            handle = file if isinstance(file, int) else file.fileno()
            call(handle)
            log.add("fsync", os.readlink(f"/proc/self/fd/{handle}"))

        return flush

    def recorded_rename(call: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **folders: Any) -> None:
            call(source, target, **folders)
            log.add("rename", os.path.abspath(source), os.path.abspath(target))

        return rename

    def record_statement(*arguments: Any) -> None:
        words = arguments[2].split()
        if words[0] in {"INSERT", "UPDATE", "DELETE"}:
            log.entries.append((words[0], words[1 if words[0] == "UPDATE" else 2]))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, recorded_flush(getattr(os, name)))
        for name in ("rename", "replace"):
            patch.setattr(os, name, recorded_rename(getattr(os, name)))
        event.listen(Engine, "before_cursor_execute", record_statement)
        try:
            yield log
        finally:
            event.remove(Engine, "before_cursor_execute", record_statement)
