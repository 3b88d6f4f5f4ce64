"""Chunk files that several machines share: the folders here are copies in front of a far store.

*Decision*: a file is whole on this disk first, then published, and only then does its writer go on.
*Because* whoever reads of it, a row for instance, may be on another machine. Without a far store
nothing is asked or kept beside the folders.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from engine.cache.commit import commit_file
from engine.errors import TakenError
from engine.files import folder_times_ns, is_settled, remove_folder

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FarFile:
    """A file of the far store."""

    n_bytes: int
    written_ns: int
    """When it was written, on whatever machine; a copy here has the same time."""


@runtime_checkable
class FarFiles(Protocol):
    """A store of files behind folders of this machine, under the same paths.

    All methods raise `UnreachableError` where it does not answer; those that fetch raise
    `CorruptFileError` where it holds other bytes than were put there.
    """

    def files(self, folder: Path) -> Mapping[str, FarFile]:
        """Return the files of a folder by name; copies here of what has left it are deleted."""
        ...

    def look_again(self, folder: Path) -> None:
        """Have the files of a folder listed anew, however lately they were."""
        ...

    def changes_ns(self, root: Path) -> Mapping[str, int]:
        """Return the folders below one that hold files, with when each last changed."""
        ...

    def changed_at_ns(self, folder: Path) -> int | None:
        """Return when a file of a folder last came or went; `None` where there is none."""
        ...

    def noted_at_ns(self, root: Path) -> int:
        """Return when any file below a folder last came or went; 0 where none ever did."""
        ...

    def folders(self, root: Path, name: str) -> tuple[Path, ...]:
        """Return the folders of a name somewhere below one."""
        ...

    def bring(self, path: Path) -> bool:
        """Have a whole and verified copy of a file here; `False` where the store has none."""
        ...

    def renew(self, path: Path) -> bool:
        """Fetch a file whatever lies here, which is damaged; `False` where the store has none."""
        ...

    def read(self, path: Path, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)` of a file of the store; nothing is kept here."""
        ...

    def publish(self, path: Path, *, replaces: bool) -> bool:
        """Put a file that lies here into the store.

        Args:
            replaces: Whether an earlier file of this name is replaced; else the first one stays.
        Returns:
            Whether it is there as it is here; `False` where another came first, of which the
            copy here is one now.
        """
        ...

    def drop(self, path: Path) -> None:
        """Have a file leave the store; nothing happens where there is none."""
        ...

    def drop_folder(self, folder: Path) -> None:
        """Have all files of a folder leave the store."""
        ...


class NoFarFiles:
    """A far store without files: what lies here is all there is."""

    def files(self, folder: Path) -> Mapping[str, FarFile]:
        """Return nothing."""
        return {}

    def look_again(self, folder: Path) -> None:
        """Do nothing."""

    def changes_ns(self, root: Path) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def changed_at_ns(self, folder: Path) -> int | None:
        """Return nothing."""
        return None

    def noted_at_ns(self, root: Path) -> int:
        """Return that nothing ever changed."""
        return 0

    def folders(self, root: Path, name: str) -> tuple[Path, ...]:
        """Return nothing."""
        return ()

    def bring(self, path: Path) -> bool:
        """Return whether the file is here."""
        return path.exists()

    def renew(self, path: Path) -> bool:
        """Return that there is no other copy."""
        return False

    def read(self, path: Path, start: int, end: int) -> bytes:
        """Return nothing."""
        raise FileNotFoundError(path)

    def publish(self, path: Path, *, replaces: bool) -> bool:
        """Leave the file where it is."""
        return True

    def drop(self, path: Path) -> None:
        """Do nothing."""

    def drop_folder(self, folder: Path) -> None:
        """Do nothing."""


ALONE: Final[FarFiles] = NoFarFiles()


class ChunkFolders:
    """Folders with a file for each chunk of a video, here and in a far store.

    Args:
        ending: Of the files; what stands before it is the ordinal of the chunk.
        far: The store behind the folders.
    """

    def __init__(self, ending: str, far: FarFiles) -> None:
        self.far = far
        self._ending = ending

    def name(self, ordinal: int) -> str:
        """Return the name of a chunk's file."""
        return f"{ordinal:08d}{self._ending}"

    def sizes(self, folder: Path) -> dict[int, int]:
        """Return the bytes of each chunk's file, by ordinal; nothing is opened."""
        sizes = {name: file.n_bytes for name, file in self.far.files(folder).items()}
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(self._ending):
                    with suppress(FileNotFoundError):
                        sizes[entry.name] = entry.stat().st_size
        return {
            int(stem): sizes[name]
            for name in sorted(sizes)
            if name.endswith(self._ending) and (stem := name.removesuffix(self._ending)).isdecimal()
        }

    def size(self, path: Path) -> int:
        """Return the bytes of one chunk's file, wherever it lies; 0 where it is nowhere."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            file = self.far.files(path.parent).get(path.name)
            return 0 if file is None else file.n_bytes

    def ordinals(self, folder: Path) -> tuple[int, ...]:
        """Return the chunks that have a file, sorted; nothing is opened."""
        names = {*self.far.files(folder)}
        with suppress(FileNotFoundError):
            names.update(os.listdir(folder))
        stems = (name.removesuffix(self._ending) for name in names if name.endswith(self._ending))
        return tuple(sorted(int(stem) for stem in stems if stem.isdecimal()))

    def changed_at_ns(self, folder: Path) -> int | None:
        """Return when a file of a folder last came or went; `None` where it is nowhere."""
        times_ns = [self.far.changed_at_ns(folder)]
        with suppress(FileNotFoundError):
            times_ns.append(folder.stat().st_mtime_ns)
        return max((at_ns for at_ns in times_ns if at_ns is not None), default=None)

    def changes_ns(self, root: Path) -> dict[str, int]:
        """Return when a file of each folder last came or went; nothing is listed or opened."""
        changes = folder_times_ns(root)
        for name, at_ns in self.far.changes_ns(root).items():
            changes[name] = max(at_ns, changes.get(name, 0))
        return changes

    def commit(self, path: Path, content: bytes, *, durable: bool, replaces: bool) -> None:
        """Write a chunk's file, here and then into the far store.

        Raises:
            DiskFullError: No space; an earlier file of this name is untouched.
            TakenError: Another writer came first; its file is here now.
            UnreachableError: The folder or the store cannot be written to; what is here stays.
        """
        commit_file(path, content, durable=durable)
        if not self.far.publish(path, replaces=replaces):
            raise TakenError(f"{path}: another worker has written it first; its bytes are kept")

    def drop(self, path: Path) -> None:
        """Delete a file; nothing happens when there is none."""
        # There first: who looks between the two must not take the copy for a new file.
        self.far.drop(path)
        path.unlink(missing_ok=True)

    def remove(self, folder: Path) -> None:
        """Delete a folder; readers see all of it or nothing."""
        self.far.drop_folder(folder)
        remove_folder(folder)


class FolderMemory(Generic[T]):
    """Values of folders, each kept until a file of its folder comes or goes.

    Args:
        files: The folders.
        look: Makes the value of one.
        nothing: The value of one that is not there.
    """

    def __init__(self, files: ChunkFolders, look: Callable[[Path], T], nothing: T) -> None:
        self._files = files
        self._look = look
        self._nothing = nothing
        self._kept: dict[Path, tuple[int, T]] = {}

    def value(self, folder: Path) -> T:
        """Return the value of a folder."""
        changed_at_ns = self._files.changed_at_ns(folder)
        if changed_at_ns is None:
            return self._nothing
        looked_at_ns, value = self._kept.get(folder, (-1, self._nothing))
        if looked_at_ns != changed_at_ns:
            value = self._look(folder)
            if is_settled(changed_at_ns):
                self._kept[folder] = changed_at_ns, value
        return value
