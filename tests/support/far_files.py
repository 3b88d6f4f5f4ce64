"""A far store in a second folder, which can be away, and which counts what is read of it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from engine.cache.far import FarFile
from engine.errors import UnreachableError


class FarFolder:
    """Files of a folder of this machine, kept in another one that several machines share."""

    def __init__(self, here: Path, there: Path) -> None:
        self._here, self._there = here, there
        self.is_away = False
        self.n_bytes_read = 0
        self.n_brought = 0

    def files(self, folder: Path) -> Mapping[str, FarFile]:
        there = self._far(folder)
        if not there.is_dir():
            return {}
        return {
            path.name: FarFile(n_bytes=path.stat().st_size, written_ns=path.stat().st_mtime_ns)
            for path in there.iterdir()
        }

    def look_again(self, folder: Path) -> None:
        """Nothing is remembered here."""

    def changes_ns(self, root: Path) -> Mapping[str, int]:
        there = self._far(root)
        if not there.is_dir():
            return {}
        return {
            path.name: path.stat().st_mtime_ns for path in there.iterdir() if any(path.iterdir())
        }

    def changed_at_ns(self, folder: Path) -> int | None:
        return self._far(folder).stat().st_mtime_ns if self._far(folder).is_dir() else None

    def noted_at_ns(self, root: Path) -> int:
        return max((path.stat().st_mtime_ns for path in self._far(root).rglob("*")), default=0)

    def folders(self, root: Path, name: str) -> tuple[Path, ...]:
        found = self._far(root).glob(f"*/{name}")
        return tuple(self._here / path.relative_to(self._there) for path in found)

    def bring(self, path: Path) -> bool:
        return path.exists() or self.renew(path)

    def renew(self, path: Path) -> bool:
        self._ask()
        if not self._far(path).is_file():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self._far(path), path)
        self.n_brought += 1
        return True

    def read(self, path: Path, start: int, end: int) -> bytes:
        self._ask()
        part = self._far(path).read_bytes()[start:end]
        self.n_bytes_read += len(part)
        return part

    def publish(self, path: Path, *, replaces: bool) -> bool:
        self._ask()
        there = self._far(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        if there.exists() and not replaces and there.read_bytes() != path.read_bytes():
            shutil.copy2(there, path)
            return False
        shutil.copy2(path, there)
        return True

    def drop(self, path: Path) -> None:
        self._far(path).unlink(missing_ok=True)

    def drop_folder(self, folder: Path) -> None:
        shutil.rmtree(self._far(folder), ignore_errors=True)

    def damage(self, path: Path) -> None:
        """Turn a byte in the middle of a file that lies there."""
        content = bytearray(self._far(path).read_bytes())
        content[len(content) // 2] ^= 1
        os.utime(self._far(path))
        self._far(path).write_bytes(content)

    def _far(self, path: Path) -> Path:
        return self._there / path.relative_to(self._here)

    def _ask(self) -> None:
        if self.is_away:
            raise UnreachableError("far: it cannot be reached")
