"""The home folder in front of an object store: what is written here is put there, and fetched here.

*Decision*: a file is whole here, then in the store, then in the list of the database, and only then
does its writer go on, to the row of a chunk for instance. *Because* another machine may then read
whatever a row speaks of. *Decision*: of a camera alone a row may come before, while the store is
away. *Because* a camera does not show its past again; those files are put there when it is back,
and until then other machines say that they leave them out.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from app.services.home_copies import HomeCopies, file_digest, new_copy, note_use
from engine.cache.far import FarFile
from engine.errors import CorruptFileError, NotFoundError, UnreachableError
from storage.files import HomeFolder
from storage.object_records import ObjectRow
from storage.object_store import ObjectStore
from storage.objects import Objects

LOOK_EVERY_S: Final = 0.5
"""For so long a list is believed: a question asks for it many times."""
AWAY_S: Final = 15.0
"""After a failure nobody waits for the store for so long: each would wait as long as the first."""
_MOST_DEBTS: Final = 500
_LATE_NS: Final = 60 * 10**9
"""A change may be written down so much later than its version says."""
_AT_ONCE: Final = 16
"""Small files that are fetched at a time."""

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class HomeObjects:
    """The far store of one home folder (`engine/cache/far.py`). Safe for several threads.

    Args:
        home: The folder.
        store: What is behind it.
        rows: The list of what lies in the store, in the database.
        budget_bytes: Bytes of copies that may stay here.
        waits: Whether the writer of a file waits for a store that is away; else the file is put
            there later.
    """

    def __init__(
        self,
        home: HomeFolder,
        store: ObjectStore,
        rows: Objects,
        *,
        budget_bytes: int,
        waits: Callable[[Path], bool],
    ) -> None:
        self.store = store
        self.rows = rows
        self.copies = HomeCopies(home, budget_bytes, self.is_stored)
        self._home = home
        self._waits = waits
        self._lists: dict[Path, _List] = {}
        self._changing = threading.Lock()
        self._paying = threading.Lock()
        self._swept_to = 0
        self._away_until = 0.0
        self.is_doubtful = False
        """Whether it has failed since it was last found to answer."""
        self.is_watched = False
        """Whether somebody looks again and again whether it answers."""
        self._away = UnreachableError(f"{store.where}: it cannot be reached")
        self.postponed: set[Path] = set()
        """Files of cameras that are not in the store yet."""

    def files(self, folder: Path) -> Mapping[str, FarFile]:
        """Return the files of a folder by name; copies here of what has left are deleted."""
        return self._list(folder).files

    def _list(self, folder: Path) -> "_List":
        held = self._lists.get(folder)
        now_s = time.monotonic()
        if held is not None and now_s - held.looked_at_s < LOOK_EVERY_S:
            return held
        version = self.rows.version(self._home.key(folder))
        if held is None or held.version != version:
            rows = self.rows.of_folder(self._home.key(folder)) if version else ()
            self._drop_stale(folder, rows)
            files = {
                row.name: FarFile(n_bytes=row.n_bytes, written_ns=row.written_ns)
                for row in rows
                if row.state == "kept"
            }
            held = _List(version, files)
        held.looked_at_s = now_s
        with self._changing:
            self._lists[folder] = held
        return held

    def changes_ns(self, root: Path) -> Mapping[str, int]:
        """Return the folders below one that hold files, with when each last changed."""
        versions = self.rows.versions(self._home.key(root))
        return {folder.rpartition("/")[2]: version for folder, version in versions.items()}

    def changed_at_ns(self, folder: Path) -> int | None:
        """Return when a file of a folder last came or went; `None` where there is none."""
        held = self._list(folder)
        return held.version if held.files else None

    def noted_at_ns(self, root: Path) -> int:
        """Return when any file of the tree of a folder last came or went."""
        return self.rows.newest(self._home.key(root).partition("/")[0])

    def folders(self, root: Path, name: str) -> tuple[Path, ...]:
        """Return the folders of a name somewhere below one."""
        keys = self.rows.folders(self._home.key(root).partition("/")[0], name)
        paths = (self._home.at_key(key) for key in keys)
        return tuple(path for path in paths if path.is_relative_to(root))

    def bring(self, path: Path) -> bool:
        """Have a whole and verified copy of a file here; `False` where the store has none."""
        # The list first: it deletes a copy that is not what the store holds any more.
        is_listed = path.name in self.files(path.parent)
        if path.exists():
            note_use(path)
            return True
        return is_listed and self.renew(path)

    def bring_all(self, paths: Iterable[Path]) -> None:
        """Have copies of several files here, as far as the store has them."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.bring, paths))

    def signed_url(self, path: Path, seconds: float) -> str | None:
        """Return an address by which a browser reads a file of the store; `None` where none can."""
        if not self.store.can_sign:
            return None
        return self.store.signed_url(self._home.key(path), seconds)

    def renew(self, path: Path) -> bool:
        """Fetch a file whatever lies here; `False` where the store has none."""
        key = self._home.key(path)
        row = self.rows.find(key)
        if row is None:
            return False
        while True:
            digest = self._fetch(row, path)
            if digest == row.sha256:
                self.copies.added(row.n_bytes)
                return True
            # It may have been replaced while it was fetched.
            newer = self.rows.find(key)
            if newer is None or newer.sha256 == row.sha256:
                raise CorruptFileError(
                    f"{key} in {self.store.where} is damaged: its digest is {digest[:12]}, "
                    f"{row.sha256[:12]} was put there"
                )
            row = newer

    def read(self, path: Path, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)` of a file of the store; nothing is kept here."""
        key = self._home.key(path)
        return self._ask(lambda: self.store.read(key, start, end))

    def publish(self, path: Path, *, replaces: bool) -> bool:
        """Put a file that lies here into the store; `False` where another came first.

        Raises:
            DiskFullError: The store is full; the file stays here.
            UnreachableError: It does not answer; the file stays here.
        """
        waits = self._waits(path)
        if not waits and (self.is_away or (self.is_doubtful and self.is_watched)):
            # Who films must not find out: a store that is silent would cost it pictures each time.
            self.postponed.add(path)
            return True
        try:
            return self._publish(path, replaces=replaces, patient=waits)
        except UnreachableError as error:
            self._note_away(error)
            if waits:
                raise
            self.postponed.add(path)
            return True

    def is_stored(self, path: Path) -> bool:
        """Tell whether a file lies in the store as it lies here."""
        row = self.rows.find(self._home.key(path))
        if row is None or not path.exists():
            return False
        status = path.stat()
        return (row.n_bytes, row.written_ns) == (status.st_size, status.st_mtime_ns)

    def drop(self, path: Path) -> None:
        """Have a file leave the store: at once where it answers, else later."""
        self.postponed.discard(path)
        key = self._home.key(path)
        if self.rows.leave([key]):
            self.look_again(path.parent)
            self._pay([key])

    def drop_all(self, paths: Iterable[Path]) -> None:
        """Have files leave the store, and copies here too: at once where it answers, else later."""
        some = list(paths)
        for folder in {path.parent for path in some}:
            keys = [self._home.key(path) for path in some if path.parent == folder]
            if self.rows.leave(keys):
                self.look_again(folder)
                self._pay(keys)
        self.postponed.difference_update(some)

    def drop_folder(self, folder: Path) -> None:
        """Have all files of a folder leave the store: at once where it answers, else later."""
        key = self._home.key(folder)
        # In place: whoever films adds to it meanwhile.
        self.postponed -= {path for path in [*self.postponed] if path.parent == folder}
        n_leaving = self.rows.leave_folder(key)
        self.look_again(folder)
        while n_leaving and (debts := self.rows.leaving(_MOST_DEBTS, folder=key)):
            if not self._pay(debts):
                return
        if n_leaving:
            with suppress(UnreachableError):
                # What a killed writer has put there and never written down.
                listed = self._ask(lambda: [name for name, _ in self.store.list(key)])
                self._ask(lambda: self.store.delete(listed))

    def pay_debts(self) -> None:
        """Delete what has to leave the store; what it does not take now is left for later."""
        while (debts := self.rows.leaving(_MOST_DEBTS)) and self._pay(debts):
            pass

    def sweep(self) -> None:
        """Delete copies here of what other machines have replaced or deleted since."""
        changed = self.rows.changed(self._swept_to - _LATE_NS)
        for folder in map(self._home.at_key, changed):
            if folder.is_dir():
                # As it is now, not as it was a moment ago.
                self.look_again(folder)
                self.files(folder)
        self._swept_to = max([self._swept_to, *changed.values()])

    @contextmanager
    def hold(self, path: Path) -> Iterator[Path]:
        """Have a file here that nothing evicts while the body runs.

        Raises:
            NotFoundError: It is neither here nor in the store.
        """
        for _ in range(3):
            if not self.bring(path):
                break
            # Evicted between the two: once more.
            with suppress(FileNotFoundError), self.copies.hold(path):
                yield path
                return
        raise NotFoundError(f"{self._home.key(path)} is neither here nor in {self.store.where}")

    def unpublished(self, folder: Path) -> list[Path]:
        """Return the files of a folder that are not in the store as they are here, sorted."""
        files = self.files(folder)
        waiting = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            with suppress(FileNotFoundError):
                if path.name.startswith(".") or path.name.endswith(".bad") or not path.is_file():
                    continue
                there = files.get(path.name)
                if there is None or there.written_ns < path.stat().st_mtime_ns:
                    waiting.append(path)
        return waiting

    def _publish(self, path: Path, *, replaces: bool, patient: bool) -> bool:
        key, (digest, n_bytes) = self._home.key(path), file_digest(path)
        written_ns = path.stat().st_mtime_ns
        row = ObjectRow(key=key, n_bytes=n_bytes, sha256=digest, written_ns=written_ns)
        held = self.rows.find(key)
        if held is not None and held.sha256 == digest:
            if held.written_ns != written_ns:
                self._keep(row, path)
            return True
        if self.rows.is_leaving(key):
            # What leaves must not be taken for the work of another writer.
            self._pay([key])
        if not self.store.put(key, path, digest, replaces=replaces, patient=patient):
            first = self.store.noted_digest(key)
            if first != digest:
                self._take_first(row, first, path)
                return False
        self._keep(row, path)
        return True

    def _take_first(self, ours: ObjectRow, digest: str, path: Path) -> None:
        """Replace a file here by the one that another writer has put into the store before."""
        held = self.rows.find(ours.key)
        if held is None or held.sha256 != digest:
            n_bytes = self.store.size(ours.key) or 0
            # Its writer was killed before it wrote the row, or will write the same.
            held = ObjectRow(
                key=ours.key, n_bytes=n_bytes, sha256=digest, written_ns=ours.written_ns
            )
        if self._fetch(held, path) != digest:
            raise CorruptFileError(f"{ours.key} in {self.store.where} is damaged")
        self._keep(held, path)

    def _keep(self, row: ObjectRow, path: Path) -> None:
        self.rows.keep([row])
        self.postponed.discard(path)
        self.look_again(path.parent)
        self.copies.added(row.n_bytes)

    def _fetch(self, row: ObjectRow, path: Path) -> str:
        """Fetch an object; only one of the right digest takes the name of the file."""
        with suppress(_WrongDigestError), new_copy(path) as temporary:
            try:
                digest = self._ask(lambda: self.store.download(row.key, temporary))
            except NotFoundError as error:
                raise CorruptFileError(
                    f"{row.key} was put into {self.store.where} and is there no more"
                ) from error
            if digest != row.sha256:
                raise _WrongDigestError
            os.utime(temporary, ns=(time.time_ns(), row.written_ns))
        return digest

    def _drop_stale(self, folder: Path, rows: tuple[ObjectRow, ...]) -> None:
        """Delete copies here of what was replaced or has left; what was never there stays."""
        for row in rows:
            path = folder / row.name
            with suppress(OSError):
                written_ns = path.stat().st_mtime_ns
                is_older = row.state == "kept" and written_ns < row.written_ns
                if is_older or (row.state != "kept" and written_ns == row.written_ns):
                    path.unlink()
        if rows and all(row.state != "kept" for row in rows):
            # Not where something new lies in it.
            with suppress(OSError):
                folder.rmdir()

    def _pay(self, keys: Sequence[str]) -> bool:
        with self._paying:
            # One that was written again meanwhile stays.
            keys = [key for key in keys if self.rows.is_leaving(key)]
            return self._delete(keys)

    def _delete(self, keys: Sequence[str]) -> bool:
        try:
            self._ask(lambda: self.store.delete(keys))
        except UnreachableError as error:
            _log.warning("%d objects are deleted later: %s", len(keys), error)
            return False
        self.rows.have_left(keys)
        return True

    def _ask(self, request: Callable[[], _Result]) -> _Result:
        """Return what a request returns; while the store is known to be away nobody waits."""
        if self.is_away:
            raise UnreachableError(self._away.message, hint=self._away.hint)
        try:
            return request()
        except UnreachableError as error:
            self._note_away(error)
            raise

    @property
    def is_away(self) -> bool:
        """Whether the store failed a moment ago, so that nobody asks it now."""
        return time.monotonic() < self._away_until

    def forget_trouble(self) -> None:
        """Have the store asked again at once, by everybody."""
        self._away_until, self.is_doubtful = 0.0, False

    def _note_away(self, error: UnreachableError) -> None:
        self._away, self._away_until = error, time.monotonic() + AWAY_S
        self.is_doubtful = True

    def look_again(self, folder: Path) -> None:
        """Have the files of a folder listed anew, however lately they were."""
        with self._changing:
            self._lists.pop(folder, None)


class _List:
    """The files of a folder, as the database had them."""

    def __init__(self, version: int, files: Mapping[str, FarFile]) -> None:
        self.version = version
        self.files = files
        self.looked_at_s = 0.0


class _WrongDigestError(Exception):
    """Bytes that must not take the name of a file."""
