"""Captions of chunks, and full-text search over their words."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, case, or_, select

from engine.records import Caption, ChunkRef, Fingerprint, TimeSpan, VideoId
from storage.database import Database
from storage.records import CaptionMatch
from storage.tables import CaptionTable, VideoTable

MOST_WORDS: Final = 32
"""Words of a query that are searched for: an SQL statement may not grow without bound."""

_WORD = re.compile(r"\w+")
_STOP_WORDS = re.compile(
    "a|an|and|are|at|be|by|for|from|in|is|it|of|on|or|that|the|there|this|to|was|were|with"
)
"""Stop words: nearly every sentence holds them."""


class Captions:
    """Captions of each video by its current pipeline; those of earlier ones are kept unseen."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(self, caption: Caption) -> None:
        """Add a caption; an earlier one of the same chunk is replaced.

        Raises:
            NotFoundError: The video was removed meanwhile.
        """
        with self._database.writing() as session:
            session.merge(
                CaptionTable(
                    video_id=caption.ref.video,
                    fingerprint=caption.fingerprint,
                    ordinal=caption.ref.ordinal,
                    start_s=caption.ref.span.start_s,
                    end_s=caption.ref.span.end_s,
                    text=caption.text,
                    words=f" {' '.join(words_of(caption.text))} ",
                    model=caption.model,
                    created_at=self._now(),
                )
            )

    def list(self, video: VideoId) -> tuple[Caption, ...]:
        """Return the captions of a video, in time order."""
        query = _current().where(CaptionTable.video_id == video).order_by(CaptionTable.ordinal)
        with self._database.reading() as session:
            return tuple(map(_caption, session.scalars(query)))

    def matching(
        self,
        query: str,
        within: Sequence[tuple[VideoId, TimeSpan]],
        *,
        top: int | None = None,
    ) -> tuple[CaptionMatch, ...]:
        """Return captions that hold words of a query, those that hold the most of them first.

        Whole words in any case, stop words left out; no synonyms and no stemming, because the
        vectors already find what is meant rather than said.

        Args:
            query: As the user wrote it.
            within: Only chunks that overlap these spans.
            top: Most to return; all when `None`.
        """
        words = words_of(query)[:MOST_WORDS]
        if not words:
            return ()
        holds = [CaptionTable.words.contains(f" {word} ", autoescape=True) for word in words]
        n_held = _count(holds)
        statement = (
            _current()
            .add_columns(n_held)
            .where(or_(*holds), CaptionTable.video_id.in_({video for video, _ in within}))
            .order_by(n_held.desc(), CaptionTable.video_id, CaptionTable.ordinal)
        )
        matches = []
        with self._database.reading() as session:
            for row, held in session.execute(statement):
                caption = _caption(row)
                if _lies_within(caption.ref, within):
                    matches.append(CaptionMatch(caption=caption, share=held / len(words)))
                if len(matches) == top:
                    break
        return tuple(matches)


def words_of(text: str) -> tuple[str, ...]:
    """Return the searchable words of a text: each once, case-folded, in order."""
    words = dict.fromkeys(_WORD.findall(text.casefold()))
    return tuple(word for word in words if not _STOP_WORDS.fullmatch(word))


def _current() -> Select[CaptionTable]:
    return select(CaptionTable).join(
        VideoTable,
        and_(
            VideoTable.id == CaptionTable.video_id,
            VideoTable.fingerprint == CaptionTable.fingerprint,
        ),
    )


def _count(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[int]:
    first, *others = (case((condition, 1), else_=0) for condition in conditions)
    total: ColumnElement[int] = first
    for other in others:
        total = total + other
    return total


def _lies_within(ref: ChunkRef, within: Sequence[tuple[VideoId, TimeSpan]]) -> bool:
    return any(video == ref.video and ref.span.overlap_s(span) > 0 for video, span in within)


def _caption(row: CaptionTable) -> Caption:
    span = TimeSpan(start_s=row.start_s, end_s=row.end_s)
    return Caption(
        ref=ChunkRef(video=VideoId(row.video_id), ordinal=row.ordinal, span=span),
        fingerprint=Fingerprint(row.fingerprint),
        model=row.model,
        text=row.text,
    )
