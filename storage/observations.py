"""Observations of videos, how far each observer has looked, and search over their words.

Rows are a projection of the footage: `longwatch observe` makes them anew from stills and sound.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    String,
    case,
    delete,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from engine.records import (
    Box,
    Observation,
    ObservationKind,
    Observed,
    Scope,
    TimeSpan,
    VideoId,
)
from storage.database import Database
from storage.full_text import MOST_WORDS, Within, holding, words_of
from storage.observation_tables import ObservationTable, ObservedTable
from storage.records import ObservationMatch, ObservationTally, TextVector, UnreadText

_BOX_DIGITS = 4
"""Digits of a box's sides that are kept: a tenth of a pixel of a still."""
_ROWS_AT_ONCE = 64
"""Rows that are fetched together where the first few may do."""


_COLUMNS: Final = tuple(
    getattr(ObservationTable, name)
    for name in (
        "video_id", "kind", "start_s", "end_s", "label", "text", "confidence", "model", "peak_s",
        "track", "boxes", "colours", "heading", "n_seen", "n_looked",
    )
)  # fmt: skip
"""The columns of an observation: read as they are, for mapped objects take three times as long."""


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

    def extend(self, rows: Sequence[Observation], observed: Observed) -> None:
        """Add what an observer has found since, and move its reach, in one transaction.

        A row of a track that is there already replaces it: the thing is still in view.

        Raises:
            NotFoundError: The video was removed meanwhile.
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

    def forget(self, video: VideoId, kinds: Collection[ObservationKind]) -> None:
        """Delete what observers said of a video, and their reach."""
        with self._database.writing() as session:
            _forget(session, video, kinds)

    def reach(self, video: VideoId | None = None) -> tuple[Observed, ...]:
        """Return how far observers have looked: at one video, or at all."""
        query = select(ObservedTable).order_by(ObservedTable.video_id, ObservedTable.kind)
        if video is not None:
            query = query.where(ObservedTable.video_id == video)
        with self._database.reading() as session:
            return tuple(map(_observed, session.scalars(query)))

    def list(
        self,
        within: Scope,
        *,
        kinds: Collection[ObservationKind] | None = None,
        labels: Collection[str] | None = None,
        colours: Collection[str] = (),
        most: int | None = None,
    ) -> tuple[Observation, ...]:
        """Return the observations that reach into a scope, by video, then in time order.

        Args:
            within: Spans of videos.
            kinds: Only these; every kind when `None`.
            labels: Only these, in lower case; every label when `None`.
            colours: Rows of these go before others where there are more than `most`.
            most: Only so many, the surest; all when `None`.
        """
        bounds, kept = Within(within), []
        query = select(*_COLUMNS).where(*self._is_within(within, bounds, kinds))
        if labels is not None:
            query = query.where(ObservationTable.label.in_(labels))
        if most is None:
            query = query.order_by(
                ObservationTable.video_id, ObservationTable.start_s, ObservationTable.id
            )
        else:
            text = sql_cast(ObservationTable.colours, String)
            has_colour = or_(*(text.contains(f'"{colour}"') for colour in colours), false())
            query = query.order_by(
                case((has_colour, 0), else_=1), ObservationTable.confidence.desc()
            ).execution_options(yield_per=_ROWS_AT_ONCE)
        # Closed where not all is read: a server keeps a cursor open for it.
        with self._database.reading() as session, session.execute(query) as stored:
            for row in stored:
                observation = _observation(row)
                if bounds.reaches(observation.video, observation.span):
                    kept.append(observation)
                if len(kept) == most:
                    break
        if most is not None:
            kept.sort(key=lambda row: (row.video, row.span.start_s))
        return tuple(kept)

    def matching(
        self,
        text: str,
        within: Scope,
        *,
        kinds: Collection[ObservationKind] | None = None,
        top: int | None = None,
    ) -> tuple[ObservationMatch, ...]:
        """Return observations that hold words of a query, those that hold the most first.

        Whole words by their stems, in any case, stop words left out; of colours, labels, and what
        was read or said.

        Args:
            text: As the user wrote it.
            within: Spans of videos.
            kinds: Only these; every kind when `None`.
            top: Most to return; all when `None`.
        """
        words = words_of(text)[:MOST_WORDS]
        if not words:
            return ()
        bounds = Within(within)
        held = holding("observations", words, is_sqlite=self._database.is_sqlite)
        query = (
            select(*_COLUMNS, held.c.held)
            .join(held, held.c.id == ObservationTable.id)
            .where(*self._is_within(within, bounds, kinds))
            .order_by(
                held.c.held.desc(),
                ObservationTable.confidence.desc(),
                ObservationTable.video_id,
                ObservationTable.start_s,
            )
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        matches: list[ObservationMatch] = []
        with self._database.reading() as session, session.execute(query) as stored:
            for row in stored:
                observation = _observation(row)
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

    def set_vectors(self, vectors: Mapping[int, bytes], model: str) -> None:
        """Write down vectors of texts by the ids of `without_vector`; rows that left are skipped.

        Args:
            vectors: Unit vectors as little-endian half floats.
            model: The encoder.
        """
        with self._database.writing() as session:
            for row, vector in vectors.items():
                session.execute(
                    update(ObservationTable)
                    .where(ObservationTable.id == row)
                    .values(vector=vector, vector_model=model)
                )

    def vectors(
        self, within: Scope, model: str, *, kinds: Collection[ObservationKind] | None = None
    ) -> tuple[TextVector, ...]:
        """Return the vectors of the texts in a scope, by video, then in time order.

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
        query = select(ObservationTable).where(ObservationTable.id.in_(rows))
        with self._database.reading() as session:
            return {row.id: _observation(row) for row in session.scalars(query)}

    def _is_within(
        self, within: Scope, bounds: Within, kinds: Collection[ObservationKind] | None
    ) -> tuple[ColumnElement[bool], ...]:
        """Return conditions that every row of a scope fulfils, and some beside it."""
        is_sqlite = self._database.is_sqlite
        conditions = [bounds.has(ObservationTable.video_id, is_sqlite=is_sqlite)]
        spans = [span for _, span in within]
        if spans:
            # Rows outside the hull need not be read; infinity is no number on every database.
            end_s = max(span.end_s for span in spans)
            conditions.append(ObservationTable.end_s >= min(span.start_s for span in spans))
            if end_s < float("inf"):
                conditions.append(ObservationTable.start_s < end_s)
        if kinds is not None:
            conditions.append(ObservationTable.kind.in_(kinds))
        return tuple(conditions)


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
    session.add_all(map(_row, rows))


def _row(row: Observation) -> ObservationTable:
    return ObservationTable(
        video_id=row.video,
        kind=row.kind,
        start_s=row.span.start_s,
        end_s=row.span.end_s,
        label=row.label,
        text=row.text,
        words=" ".join(words_of(" ".join([*row.colours, row.label, row.heading, row.text]))),
        confidence=row.confidence,
        model=row.model,
        peak_s=row.peak_s,
        track=row.track,
        boxes=[_sides(box) for box in row.boxes],
        colours=[*row.colours],
        heading=row.heading,
        n_seen=row.n_seen,
        n_looked=row.n_looked,
    )


def _sides(box: Box) -> list[float]:
    sides = (box.left, box.top, box.right, box.bottom)
    return [box.time_s, *(round(side, _BOX_DIGITS) for side in sides)]


def _observation(row: Any) -> Observation:
    return Observation(
        video=VideoId(row.video_id),
        kind=cast(ObservationKind, row.kind),
        span=TimeSpan(start_s=row.start_s, end_s=row.end_s),
        label=row.label,
        text=row.text,
        confidence=row.confidence,
        model=row.model,
        peak_s=row.peak_s,
        track=row.track,
        boxes=tuple(
            Box(time_s=time_s, left=left, top=top, right=right, bottom=bottom)
            for time_s, left, top, right, bottom in row.boxes
        ),
        colours=tuple(row.colours),
        heading=row.heading,
        n_seen=row.n_seen,
        n_looked=row.n_looked,
    )


def _observed(row: ObservedTable) -> Observed:
    return Observed(
        video=VideoId(row.video_id),
        kind=cast(ObservationKind, row.kind),
        model=row.model,
        labels=frozenset(row.labels),
        span=TimeSpan(start_s=row.start_s, end_s=row.end_s),
    )
