"""Nodes: the servers of a library that answer about the latents beside them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from engine.records import VideoId
from storage.clocks import LeaseClock
from storage.database import Database
from storage.server_tables import NodeTable


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A server as it was when it last gave a sign of life."""

    name: str
    address: str
    videos: frozenset[VideoId]
    """Those whose latents lie there."""
    beat_at: datetime
    started_at: datetime


class Nodes:
    """Nodes of one database."""

    def __init__(self, database: Database, clock: LeaseClock) -> None:
        self._database = database
        self._clock = clock

    def register(self, name: str, address: str, videos: Collection[VideoId]) -> None:
        """Add a node, or say anew what it holds."""
        with self._database.writing() as session:
            now = self._clock(session)
            row = session.get(NodeTable, name)
            if row is None:
                row = NodeTable(name=name, started_at=now)
                session.add(row)
            row.address, row.videos, row.beat_at = address, sorted(videos), now

    def beat(self, name: str) -> None:
        """Record a sign of life; one small row, whatever the node holds."""
        with self._database.writing() as session:
            now = self._clock(session)
            session.execute(update(NodeTable).where(NodeTable.name == name).values(beat_at=now))

    def alive(self, *, silent_s: float) -> tuple[NodeRow, ...]:
        """Return the nodes that were heard of within some seconds, by name."""
        query = select(NodeTable).order_by(NodeTable.name)
        with self._database.reading() as session:
            since = self._clock(session) - timedelta(seconds=silent_s)
            query = query.where(NodeTable.beat_at >= since)
            return tuple(map(_node, session.scalars(query)))

    def remove(self, name: str) -> None:
        """Delete a node that stops."""
        with self._database.writing() as session:
            session.execute(delete(NodeTable).where(NodeTable.name == name))

    def forget(self, *, silent_s: float) -> None:
        """Delete the nodes that nobody has heard of for so long."""
        with self._database.writing() as session:
            before = self._clock(session) - timedelta(seconds=silent_s)
            session.execute(delete(NodeTable).where(NodeTable.beat_at < before))


def _node(row: NodeTable) -> NodeRow:
    return NodeRow(
        name=row.name,
        address=row.address,
        videos=frozenset(map(VideoId, row.videos)),
        beat_at=row.beat_at,
        started_at=row.started_at,
    )
