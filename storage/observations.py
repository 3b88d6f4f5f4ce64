"""Observations of videos, how far each observer has looked, and search over their words.

Rows are a projection of the footage: `longwatch observe` makes them anew from stills and sound.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    delete,
    false,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from engine.records import (
    Observation,
    ObservationKind,
    Observed,
    Scope,
    TimeSpan,
    VideoId,
)
from storage.database import Database
from storage.fence import check_held
from storage.full_text import MOST_WORDS, Searchable, Within, holding, words_of
from storage.observation_record import COLUMNS, observation_record, observation_row
from storage.observation_tables import ObservationTable, ObservedTable
from storage.records import JobRow, ObservationMatch, ObservationTally, TextVector, UnreadText

_ROWS_AT_ONCE = 64
"""Rows that are fetched together where the first few may do."""


_SAID: Final = frozenset[ObservationKind]({"text", "speech"})
"""Kinds whose words have an index of their own: what detectors name is in nearly every row."""


class Observations:
    """The observations of every video; they leave with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(
        self,
        video: VideoId,
        kind: ObservationKind,
        rows: Sequence[Observation],
        observed: Observed,
    ) -> None:
        """Put rows in place of everything that an observer said of a video, and its reach.

        Raises:
            NotFoundError: The video was removed meanwhile.
        """
        with self._database.writing() as session:
            _forget(session, video, [kind])
            _write(session, rows, observed)

    def extend(
        self, rows: Sequence[Observation], observed: Observed, *, holder: JobRow | None = None
    ) -> None:
        """Add what an observer has found since, and move its reach, in one transaction.

        A row of a track that is there already replaces it: the thing is still in view.

        Args:
            holder: The job that observes it, as it was claimed.
        Raises:
            NotFoundError: The video was removed meanwhile.
            LeaseLostError: Another worker has that job by now.
        """
        tracks = [row.track for row in rows if row.track is not None]
        is_open = (
            ObservationTable.video_id == observed.video,
            ObservationTable.kind == observed.kind,
            ObservationTable.track.in_(tracks),
        )
        with self._database.writing() as session:
            if tracks:
                session.execute(delete(ObservationTable).where(*is_open))
            _write(session, rows, observed)
            session.flush()
            check_held(session, holder)

    def forget(
        self,
        video: VideoId,
        kinds: Collection[ObservationKind],
        *,
        holder: JobRow | None = None,
    ) -> None:
        """Delete what observers said of a video, and their reach.

        Args:
            holder: The job that observes it anew, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            _forget(session, video, kinds)
            check_held(session, holder)

    def reach(self, video: VideoId | None = None) -> tuple[Observed, ...]:
        """Return how far observers have looked: at one video, or at all."""
        query = select(ObservedTable).order_by(ObservedTable.video_id, ObservedTable.kind)
        if video is not None:
            query = query.where(ObservedTable.video_id == video)
        with self._database.reading() as session:
            return tuple(map(_observed, session.scalars(query)))

    def list(
        self,
        within: Scope | None,
        *,
        kinds: Collection[ObservationKind] | None = None,
        labels: Collection[str] | None = None,
        colours: Collection[str] = (),
        most: int | None = None,
    ) -> tuple[Observation, ...]:
        """Return the observations that reach into a scope, by video, then in time order.

        Args:
            within: Spans of videos; everything when `None`.
            kinds: Only these; every kind when `None`.
            labels: Only these, in lower case; every label when `None`.
            colours: Rows of these go before others where there are more than `most`.
            most: Only so many, the surest; all when `None`.
        """
        bounds = Within(within)
        query = select(*COLUMNS).where(*self._is_within(within, bounds, kinds))
        if labels is not None:
            query = query.where(ObservationTable.label.in_(labels))
        with self._database.reading() as session:
            if most is not None:
                return _surest(session, query, bounds, colours, most)
            query = query.order_by(
                ObservationTable.video_id, ObservationTable.start_s, ObservationTable.id
            )
            return tuple(_reaching(session.execute(query), bounds))

    def matching(
        self,
        text: str,
        within: Scope | None,
        *,
        kinds: Collection[ObservationKind] | None = None,
        top: int | None = None,
    ) -> tuple[ObservationMatch, ...]:
        """Return observations that hold words of a query, those that hold the most first.

        Whole words by their stems, in any case, stop words left out; of colours, labels, and what
        was read or said.

        Args:
            text: As the user wrote it.
            within: Spans of videos; everything when `None`.
            kinds: Only these; every kind when `None`.
            top: Most to return; all when `None`.
        """
        words = words_of(text)[:MOST_WORDS]
        if not words:
            return ()
        bounds = Within(within)
        indexed: Searchable = "said" if kinds and _SAID.issuperset(kinds) else "observations"
        held = holding(indexed, words, is_sqlite=self._database.is_sqlite)
        query = (
            select(*COLUMNS, held.c.held)
            .join(held, held.c.id == ObservationTable.id)
            .where(*self._is_within(within, bounds, kinds))
            .order_by(
                held.c.held.desc(),
                ObservationTable.confidence.desc(),
                ObservationTable.video_id,
                ObservationTable.start_s,
                ObservationTable.id,
            )
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        matches: list[ObservationMatch] = []
        with self._database.reading() as session, session.execute(query) as stored:
            for row in stored:
                observation = observation_record(row)
                if bounds.reaches(observation.video, observation.span):
                    share = row.held / len(words)
                    matches.append(ObservationMatch(observation=observation, share=share))
                if len(matches) == top:
                    break
        return tuple(matches)

    def tally(self, video: VideoId) -> tuple[ObservationTally, ...]:
        """Return what was seen and heard in a video by kind and label, the most first."""
        n = func.count()
        query = (
            select(
                ObservationTable.kind,
                ObservationTable.label,
                n,
                func.sum(ObservationTable.end_s - ObservationTable.start_s),
            )
            .where(ObservationTable.video_id == video)
            .group_by(ObservationTable.kind, ObservationTable.label)
            .order_by(n.desc(), ObservationTable.kind, ObservationTable.label)
        )
        with self._database.reading() as session:
            return tuple(
                ObservationTally(
                    kind=cast(ObservationKind, kind), label=label, n=count, seconds=float(seconds)
                )
                for kind, label, count, seconds in session.execute(query)
            )

    def without_vector(self, video: VideoId, model: str) -> tuple[UnreadText, ...]:
        """Return texts of a video that have no vector of a sentence encoder.

        Args:
            model: The encoder; vectors of another count as none.
        """
        query = select(ObservationTable.id, ObservationTable.text).where(
            ObservationTable.video_id == video,
            ObservationTable.text != "",
            ObservationTable.vector_model.is_distinct_from(model),
        )
        with self._database.reading() as session:
            return tuple(UnreadText(id=row, text=text) for row, text in session.execute(query))

    def set_vectors(
        self, vectors: Mapping[int, bytes], model: str, *, holder: JobRow | None = None
    ) -> None:
        """Write down vectors of texts by the ids of `without_vector`; rows that left are skipped.

        Args:
            vectors: Unit vectors as little-endian half floats.
            model: The encoder.
            holder: The job that observes the video, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            for row, vector in vectors.items():
                session.execute(
                    update(ObservationTable)
                    .where(ObservationTable.id == row)
                    .values(vector=vector, vector_model=model)
                )
            check_held(session, holder)

    def vectors(
        self,
        within: Scope | None,
        model: str,
        *,
        kinds: Collection[ObservationKind] | None = None,
    ) -> tuple[TextVector, ...]:
        """Return the vectors of the texts in a scope, by video, then in time order.

        Args:
            within: Spans of videos; everything when `None`.
            model: The encoder.
            kinds: Only these; every kind when `None`.
        Cost: nothing of a row is read but its times, its text and its vector.
        """
        bounds = Within(within)
        query = (
            select(
                ObservationTable.id,
                ObservationTable.video_id,
                ObservationTable.start_s,
                ObservationTable.end_s,
                ObservationTable.text,
                ObservationTable.vector,
            )
            .where(*self._is_within(within, bounds, kinds), ObservationTable.vector_model == model)
            .order_by(ObservationTable.video_id, ObservationTable.start_s, ObservationTable.id)
        )
        with self._database.reading() as session:
            return tuple(
                TextVector(id=row, text=text, vector=vector)
                for row, video, start_s, end_s, text, vector in session.execute(query)
                if vector is not None
                and bounds.reaches(video, TimeSpan(start_s=start_s, end_s=end_s))
            )

    def get(self, rows: Collection[int]) -> dict[int, Observation]:
        """Return observations by the ids of their rows, without those that have left.

        Args:
            rows: At most a few hundred.
        """
        query = select(*COLUMNS, ObservationTable.id).where(ObservationTable.id.in_(rows))
        with self._database.reading() as session:
            return {row.id: observation_record(row) for row in session.execute(query)}

    def _is_within(
        self, within: Scope | None, bounds: Within, kinds: Collection[ObservationKind] | None
    ) -> tuple[ColumnElement[bool], ...]:
        """Return conditions that every row of a scope fulfils, and some beside it."""
        is_sqlite = self._database.is_sqlite
        conditions: list[ColumnElement[bool]] = []
        if within is not None:
            conditions.append(bounds.has(ObservationTable.video_id, is_sqlite=is_sqlite))
        spans = [span for _, span in within or ()]
        if spans:
            # Rows outside the hull need not be read; infinity is no number on every database.
            end_s = max(span.end_s for span in spans)
            conditions.append(ObservationTable.end_s >= min(span.start_s for span in spans))
            if end_s < float("inf"):
                conditions.append(ObservationTable.start_s < end_s)
        if kinds is not None:
            conditions.append(ObservationTable.kind.in_(kinds))
        return tuple(conditions)


def _surest(
    session: Session,
    query: Select[Any],
    bounds: Within,
    colours: Collection[str],
    most: int,
) -> tuple[Observation, ...]:
    """Return so many of the surest rows, those with a colour first, by video, then in time order.

    Cost: in the order of an index where one label is asked for; no more is read than returned.
    """
    text = sql_cast(ObservationTable.colours, String)
    has_colour = or_(*(text.contains(f'"{colour}"') for colour in colours), false())
    kept: list[Observation] = []
    for condition in (has_colour, not_(has_colour)) if colours else (true(),):
        by_sureness = (
            query.where(condition)
            .order_by(ObservationTable.confidence.desc(), ObservationTable.id.desc())
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        # Closed where not all is read: a server keeps a cursor open for it.
        with session.execute(by_sureness) as stored:
            kept += islice(_reaching(stored, bounds), most - len(kept))
        if len(kept) == most:
            break
    return tuple(sorted(kept, key=lambda row: (row.video, row.span.start_s)))


def _reaching(stored: Iterable[Any], bounds: Within) -> Iterator[Observation]:
    observations = map(observation_record, stored)
    if bounds.is_everything:
        return observations
    return (row for row in observations if bounds.reaches(row.video, row.span))


def _forget(session: Session, video: VideoId, kinds: Collection[ObservationKind]) -> None:
    for table in (ObservationTable, ObservedTable):
        session.execute(delete(table).where(table.video_id == video, table.kind.in_(kinds)))


def _write(session: Session, rows: Sequence[Observation], observed: Observed) -> None:
    session.merge(
        ObservedTable(
            video_id=observed.video,
            kind=observed.kind,
            model=observed.model,
            labels=sorted(observed.labels),
            start_s=observed.span.start_s,
            end_s=observed.span.end_s,
        )
    )
    session.add_all(map(observation_row, rows))


def _observed(row: ObservedTable) -> Observed:
    return Observed(
        video=VideoId(row.video_id),
        kind=cast(ObservationKind, row.kind),
        model=row.model,
        labels=frozenset(row.labels),
        span=TimeSpan(start_s=row.start_s, end_s=row.end_s),
    )
