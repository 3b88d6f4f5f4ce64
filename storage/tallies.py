"""Counts of what was observed, over videos and over the library: from an index alone, no row."""

from collections import defaultdict
from collections.abc import Collection
from typing import cast

from sqlalchemy import func, or_, select

from engine.records import ObservationKind, VideoId
from storage.database import Database
from storage.observation_tables import ObservationTable
from storage.records import LabelTally

_MOST_IDS = 500
"""Ids in one statement: databases bound the number of its parameters."""


class Tallies:
    """Counts of observations by kind and label."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_video(self, videos: Collection[VideoId]) -> dict[VideoId, tuple[LabelTally, ...]]:
        """Return what was observed in some videos, the most first; nothing of those without."""
        ids, n = [*videos], func.count()
        tallies: defaultdict[VideoId, list[LabelTally]] = defaultdict(list)
        columns = (ObservationTable.video_id, ObservationTable.kind, ObservationTable.label)
        with self._database.reading() as session:
            for start in range(0, len(ids), _MOST_IDS):
                query = (
                    select(*columns, n)
                    .where(ObservationTable.video_id.in_(ids[start : start + _MOST_IDS]))
                    .group_by(*columns)
                    .order_by(n.desc(), ObservationTable.kind, ObservationTable.label)
                )
                for video, kind, label, count in session.execute(query):
                    tallies[VideoId(video)].append(_tally(kind, label, count))
        return {video: tuple(rows) for video, rows in tallies.items()}

    def over_library(self) -> tuple[LabelTally, ...]:
        """Return every kind and label with the number of videos that hold it, the most first."""
        n = func.count(ObservationTable.video_id.distinct())
        query = (
            select(ObservationTable.kind, ObservationTable.label, n)
            .group_by(ObservationTable.kind, ObservationTable.label)
            .order_by(n.desc(), ObservationTable.kind, ObservationTable.label)
        )
        with self._database.reading() as session:
            return tuple(
                _tally(kind, label, count) for kind, label, count in session.execute(query)
            )

    def videos_with(self, name: str) -> frozenset[VideoId]:
        """Return the videos in which a kind (`speech`) or a label (`person`) was observed."""
        query = (
            select(ObservationTable.video_id)
            .where(or_(ObservationTable.kind == name, ObservationTable.label == name))
            .distinct()
        )
        with self._database.reading() as session:
            return frozenset(map(VideoId, session.scalars(query)))


def _tally(kind: str, label: str, count: int) -> LabelTally:
    return LabelTally(kind=cast(ObservationKind, kind), label=label, n=count)
