"""The list of what lies in an object store: kept objects, and those that have to leave it.

*Decision*: the database says what is in the bucket, not a listing of the bucket. *Because* a
question about thousands of videos would cost thousands of requests, a row carries the digest that
every reader checks, and a removal that was cut off is a row that says so.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.database import Database
from storage.object_records import ObjectRow, ObjectState, ObjectTotals, folder_of
from storage.object_tables import ObjectFolderTable, ObjectTable

_MOST_KEYS: Final = 500
"""Keys in one statement: databases bound the number of its parameters."""


class Objects:
    """Rows of objects; the bytes are the business of `storage/object_store.py`."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def keep(self, rows: Sequence[ObjectRow]) -> None:
        """Note objects whose bytes are in the store, new ones and those that were replaced."""
        with self._database.writing() as session:
            for row in rows:
                held = session.get(ObjectTable, row.key)
                if held is None:
                    held = ObjectTable(key=row.key, folder=folder_of(row.key))
                    session.add(held)
                held.n_bytes, held.sha256 = row.n_bytes, row.sha256
                held.written_ns, held.state = row.written_ns, "kept"
                held.changed_at = self._now()
            self._bump(session, {folder_of(row.key) for row in rows})

    def adopt(self, rows: Sequence[ObjectRow]) -> int:
        """Note objects that lie in the store and have no row, also none of what has left.

        Returns:
            How many had none.
        """
        try:
            with self._database.writing() as session:
                held = select(ObjectTable.key).where(ObjectTable.key.in_([row.key for row in rows]))
                known = set(session.scalars(held))
                new = [row for row in rows if row.key not in known]
                for row in new:
                    session.add(
                        ObjectTable(
                            key=row.key,
                            folder=folder_of(row.key),
                            n_bytes=row.n_bytes,
                            sha256=row.sha256,
                            written_ns=row.written_ns,
                            state="kept",
                            changed_at=self._now(),
                        )
                    )
                self._bump(session, {folder_of(row.key) for row in new})
                return len(new)
        except IntegrityError:
            # The writer of one has noted it meanwhile: now it has a row.
            return self.adopt(rows)

    def leave(self, keys: Collection[str]) -> int:
        """Note that objects have to leave the store; return how many were kept until now."""
        return self._set_state(keys, "kept", "leaving")

    def leave_folder(self, folder: str) -> int:
        """Note that all objects of a folder have to leave; return how many were kept until now."""
        with self._database.writing() as session:
            keys = session.scalars(
                select(ObjectTable.key).where(
                    ObjectTable.folder == folder, ObjectTable.state == "kept"
                )
            ).all()
            if keys:
                session.execute(
                    update(ObjectTable)
                    .where(ObjectTable.folder == folder, ObjectTable.state == "kept")
                    .values(state="leaving", changed_at=self._now())
                )
                self._bump(session, {folder})
            return len(keys)

    def have_left(self, keys: Collection[str]) -> None:
        """Note that objects are deleted from the store; those kept again meanwhile stay."""
        self._set_state(keys, "leaving", "gone")

    def leaving(self, limit: int, *, folder: str | None = None) -> tuple[str, ...]:
        """Return keys that have to be deleted from the store, the oldest debt first."""
        query = select(ObjectTable.key).where(ObjectTable.state == "leaving")
        if folder is not None:
            query = query.where(ObjectTable.folder == folder)
        with self._database.reading() as session:
            return tuple(session.scalars(query.order_by(ObjectTable.changed_at).limit(limit)))

    def is_leaving(self, key: str) -> bool:
        """Return whether an object has to be deleted from the store."""
        with self._database.reading() as session:
            row = session.get(ObjectTable, key)
            return row is not None and row.state == "leaving"

    def forget_gone(self, before: datetime) -> int:
        """Delete rows of objects that left before a time; return how many."""
        gone = (ObjectTable.state == "gone") & (ObjectTable.changed_at < before)
        with self._database.writing() as session:
            n_gone = session.scalar(select(func.count()).where(gone)) or 0
            if n_gone:
                session.execute(delete(ObjectTable).where(gone))
            return n_gone

    def find(self, key: str) -> ObjectRow | None:
        """Return an object that is kept; `None` where there is none."""
        with self._database.reading() as session:
            row = session.get(ObjectTable, key)
            return None if row is None or row.state != "kept" else _record(row)

    def of_keys(self, keys: Collection[str]) -> dict[str, ObjectRow]:
        """Return the rows of at most some hundred keys, also of what has left."""
        query = select(ObjectTable).where(ObjectTable.key.in_(sorted(keys)))
        with self._database.reading() as session:
            return {row.key: _record(row) for row in session.scalars(query)}

    def named(self, tree: str, name: str) -> tuple[str, ...]:
        """Return the keys of a tree whose last part is a name, of objects that are kept."""
        query = (
            select(ObjectTable.key)
            .join(ObjectFolderTable, ObjectFolderTable.folder == ObjectTable.folder)
            .where(
                ObjectFolderTable.tree == tree,
                ObjectTable.state == "kept",
                ObjectTable.key.endswith(f"/{name}", autoescape=True),
            )
            .order_by(ObjectTable.key)
        )
        with self._database.reading() as session:
            return tuple(session.scalars(query))

    def of_folder(self, folder: str) -> tuple[ObjectRow, ...]:
        """Return the rows of a folder, also of what has left."""
        query = select(ObjectTable).where(ObjectTable.folder == folder).order_by(ObjectTable.key)
        with self._database.reading() as session:
            return tuple(map(_record, session.scalars(query)))

    def kept(self, *, behind: str = "", limit: int = _MOST_KEYS) -> tuple[ObjectRow, ...]:
        """Return some of the objects that are kept, by key, behind one of them."""
        query = (
            select(ObjectTable)
            .where(ObjectTable.state == "kept", ObjectTable.key > behind)
            .order_by(ObjectTable.key)
            .limit(limit)
        )
        with self._database.reading() as session:
            return tuple(map(_record, session.scalars(query)))

    def has_kept(self) -> bool:
        """Return whether the store holds any object, as far as the list knows."""
        return bool(self.kept(limit=1))

    def version(self, folder: str) -> int:
        """Return when an object of a folder last came, changed or went; 0 where none ever was."""
        query = select(ObjectFolderTable.version).where(ObjectFolderTable.folder == folder)
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def versions(self, parent: str) -> dict[str, int]:
        """Return the folders right below another that hold objects, with their versions."""
        holds = (
            select(ObjectTable.key)
            .where(ObjectTable.folder == ObjectFolderTable.folder, ObjectTable.state == "kept")
            .exists()
        )
        query = select(ObjectFolderTable.folder, ObjectFolderTable.version).where(
            ObjectFolderTable.parent == parent, holds
        )
        with self._database.reading() as session:
            return {folder: version for folder, version in session.execute(query)}

    def changed(self, since: int) -> dict[str, int]:
        """Return the folders of which anything came, changed or went since a version."""
        query = select(ObjectFolderTable.folder, ObjectFolderTable.version).where(
            ObjectFolderTable.version > since
        )
        with self._database.reading() as session:
            return {folder: version for folder, version in session.execute(query)}

    def newest(self, tree: str) -> int:
        """Return the newest version of any folder of a tree; 0 where there is none."""
        query = select(func.max(ObjectFolderTable.version)).where(ObjectFolderTable.tree == tree)
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def folders(self, tree: str, name: str) -> tuple[str, ...]:
        """Return the folders of a tree whose last part is a name: all that is kept of a video."""
        query = select(ObjectFolderTable.folder).where(
            ObjectFolderTable.tree == tree,
            # Names hold underscores, which mean any letter there.
            ObjectFolderTable.folder.endswith(f"/{name}", autoescape=True),
        )
        with self._database.reading() as session:
            return tuple(session.scalars(query))

    def totals(self) -> tuple[ObjectTotals, ...]:
        """Return what is kept, by tree of the home folder."""
        query = (
            select(ObjectFolderTable.tree, func.count(), func.sum(ObjectTable.n_bytes))
            .join(ObjectFolderTable, ObjectFolderTable.folder == ObjectTable.folder)
            .where(ObjectTable.state == "kept")
            .group_by(ObjectFolderTable.tree)
            .order_by(ObjectFolderTable.tree)
        )
        with self._database.reading() as session:
            return tuple(
                ObjectTotals(tree=tree, n_objects=n_objects, n_bytes=int(n_bytes))
                for tree, n_objects, n_bytes in session.execute(query)
            )

    def n_leaving(self) -> int:
        """Return how many objects have to be deleted from the store."""
        query = select(func.count()).where(ObjectTable.state == "leaving")
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def _set_state(self, keys: Collection[str], before: ObjectState, after: ObjectState) -> int:
        some, n_changed = sorted(keys), 0
        with self._database.writing() as session:
            for start in range(0, len(some), _MOST_KEYS):
                batch = some[start : start + _MOST_KEYS]
                changed = session.scalars(
                    select(ObjectTable.key).where(
                        ObjectTable.key.in_(batch), ObjectTable.state == before
                    )
                ).all()
                session.execute(
                    update(ObjectTable)
                    .where(ObjectTable.key.in_(changed))
                    .values(state=after, changed_at=self._now())
                )
                self._bump(session, {folder_of(key) for key in changed})
                n_changed += len(changed)
        return n_changed

    def _bump(self, session: Session, folders: Collection[str]) -> None:
        now_ns = int(self._now().timestamp() * 1e9)
        for folder in sorted(folders):
            row = session.get(ObjectFolderTable, folder, with_for_update=True)
            if row is None:
                parent, tree = folder_of(folder), folder.partition("/")[0]
                row = ObjectFolderTable(folder=folder, parent=parent, tree=tree, version=0)
                session.add(row)
            # The clocks of machines differ: later is always more.
            row.version = max(now_ns, row.version + 1)


def _record(row: ObjectTable) -> ObjectRow:
    return ObjectRow(
        key=row.key,
        n_bytes=row.n_bytes,
        sha256=row.sha256,
        written_ns=row.written_ns,
        state=row.state,  # type: ignore[arg-type]
    )
