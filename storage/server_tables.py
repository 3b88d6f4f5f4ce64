"""Mapped classes of what several servers of one library share beside its rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base


class LeaseTable(Base):
    """A piece of work that one process does at a time."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    until: Mapped[datetime] = mapped_column(index=True)


class SignInFailureTable(Base):
    """Failed sign-ins of a name at an address, or of an address with any name."""

    __tablename__ = "sign_in_failures"

    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    last_at: Mapped[float] = mapped_column(index=True)
    """Seconds since 1970, as the next one."""
    retry_at: Mapped[float]


class NodeTable(Base):
    """A server that answers questions about the latents beside it."""

    __tablename__ = "nodes"

    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]
    videos: Mapped[list[str]]
    """Ids of the videos whose latents lie there."""
    beat_at: Mapped[datetime]
    started_at: Mapped[datetime]


class LibraryValueTable(Base):
    """A value that is one for the library, whichever server asks."""

    __tablename__ = "library_values"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    revision: Mapped[int] = mapped_column(index=True)
    """Counts the changes of all values: those with a larger one are new to a reader."""
