"""Mapped classes of what lies in an object store: one row an object, one a folder of them."""

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base


class ObjectTable(Base):
    """An object; its row is added once its bytes are in the store."""

    __tablename__ = "objects"
    __table_args__ = (Index("ix_objects_folder", "folder"), Index("ix_objects_state", "state"))

    key: Mapped[str] = mapped_column(primary_key=True)
    """Its path below the home folder."""
    folder: Mapped[str]
    """The part of the key before the last slash."""
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    written_ns: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    changed_at: Mapped[datetime]


class ObjectFolderTable(Base):
    """A folder of objects, with a number that grows whenever one of them comes, changes or goes."""

    __tablename__ = "object_folders"
    __table_args__ = (
        Index("ix_object_folders_parent", "parent"),
        Index("ix_object_folders_tree_version", "tree", "version"),
    )

    folder: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str]
    tree: Mapped[str]
    """The first part of the key."""
    version: Mapped[int] = mapped_column(BigInteger)
    """Nanoseconds of the change, so that it compares with the times of files."""
