"""A record of what a program does to the disk and to the database, in order."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event


class DiskLog:
    """Flushes, renames and commits as they happened, each as a verb and the names it is about.

    `("fsync", "a.part")`, `("rename", "a.part", "a")` and `("commit",)`; a folder ends in a slash.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.entries: list[tuple[str, ...]] = []

    def add(self, verb: str, *paths: str | Path) -> None:
        """Append an entry about files below the root; others are left out."""
        names = [Path(path) for path in paths]
        if all(name.is_relative_to(self._root) for name in names):
            self.entries.append((verb, *map(self._name, names)))

    def index(self, verb: str, *names: str) -> int:
        """Return where the first such entry stands; a missing one fails the test."""
        assert (verb, *names) in self.entries, f"no {(verb, *names)} in {self.entries}"
        return self.entries.index((verb, *names))

    def _name(self, path: Path) -> str:
        return f"{path.name}/" if path.is_dir() else path.name


@contextmanager
def record_disk(root: Path) -> Iterator[DiskLog]:
    """Record every flush and rename below `root`, and every commit of any database.

    The calls go through: only their order is noted.
    """
    log = DiskLog(root)

    def flush(call: Callable[[int], None]) -> Callable[[Any], None]:
        def recorded(file: Any) -> None:
            handle = file if isinstance(file, int) else file.fileno()
            call(handle)
            log.add("fsync", os.readlink(f"/proc/self/fd/{handle}"))

        return recorded

    def rename(call: Callable[..., None]) -> Callable[..., None]:
        def recorded(source: Any, target: Any, **folders: Any) -> None:
            call(source, target, **folders)
            log.add("rename", os.path.abspath(source), os.path.abspath(target))

        return recorded

    def commit(_: Connection) -> None:
        log.entries.append(("commit",))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, flush(getattr(os, name)))
        for name in ("rename", "replace"):
            patch.setattr(os, name, rename(getattr(os, name)))
        event.listen(Engine, "commit", commit)
        try:
            yield log
        finally:
            event.remove(Engine, "commit", commit)
