"""Captions of chunks, and full-text search over their words."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Select, and_, delete, select

from engine.records import Caption, ChunkRef, Fingerprint, Scope, TimeSpan, VideoId
from storage.database import Database
from storage.fence import check_held
from storage.full_text import MOST_WORDS, Within, holding, words_of
from storage.records import CaptionMatch, JobRow
from storage.tables import CaptionTable, VideoTable


class Captions:
    """Captions of each video by its current pipeline; those of earlier ones are kept unseen."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(self, caption: Caption, *, holder: JobRow | None = None) -> None:
        """Add a caption; an earlier one of the same chunk is replaced.

        Args:
            holder: The job that captions the video, as it was claimed.
        Raises:
            NotFoundError: The video was removed meanwhile.
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            session.execute(
                delete(CaptionTable).where(
                    CaptionTable.video_id == caption.ref.video,
                    CaptionTable.fingerprint == caption.fingerprint,
                    CaptionTable.ordinal == caption.ref.ordinal,
                )
            )
            session.add(
                CaptionTable(
                    video_id=caption.ref.video,
                    fingerprint=caption.fingerprint,
                    ordinal=caption.ref.ordinal,
                    start_s=caption.ref.span.start_s,
                    end_s=caption.ref.span.end_s,
                    text=caption.text,
                    words=" ".join(words_of(caption.text)),
                    model=caption.model,
                    created_at=self._now(),
                )
            )
            session.flush()
            check_held(session, holder)

    def list(self, video: VideoId) -> tuple[Caption, ...]:
        """Return the captions of a video, in time order."""
        query = _current().where(CaptionTable.video_id == video).order_by(CaptionTable.ordinal)
        with self._database.reading() as session:
            return tuple(map(_caption, session.scalars(query)))

    def matching(
        self,
        query: str,
        within: Scope | None,
        *,
        top: int | None = None,
    ) -> tuple[CaptionMatch, ...]:
        """Return captions that hold words of a query, those that hold the most of them first.

        Whole words by their stems, in any case, stop words left out; no synonyms, because the
        vectors already find what is meant rather than said.

        Args:
            query: As the user wrote it.
            within: Only chunks that overlap these spans; everything when `None`.
            top: Most to return; all when `None`.
        """
        words = words_of(query)[:MOST_WORDS]
        if not words:
            return ()
        bounds = Within(within)
        held = holding("captions", words, is_sqlite=self._database.is_sqlite)
        statement = (
            _current()
            .join(held, held.c.id == CaptionTable.id)
            .add_columns(held.c.held)
            .where(bounds.has(CaptionTable.video_id, is_sqlite=self._database.is_sqlite))
            .order_by(held.c.held.desc(), CaptionTable.video_id, CaptionTable.ordinal)
        )
        matches = []
        with self._database.reading() as session:
            for row, n_held in session.execute(statement):
                caption = _caption(row)
                if bounds.reaches(caption.ref.video, caption.ref.span):
                    matches.append(CaptionMatch(caption=caption, share=n_held / len(words)))
                if len(matches) == top:
                    break
        return tuple(matches)


def _current() -> Select[CaptionTable]:
    return select(CaptionTable).join(
        VideoTable,
        and_(
            VideoTable.id == CaptionTable.video_id,
            VideoTable.fingerprint == CaptionTable.fingerprint,
        ),
    )


def _caption(row: CaptionTable) -> Caption:
    span = TimeSpan(start_s=row.start_s, end_s=row.end_s)
    return Caption(
        ref=ChunkRef(video=VideoId(row.video_id), ordinal=row.ordinal, span=span),
        fingerprint=Fingerprint(row.fingerprint),
        model=row.model,
        text=row.text,
    )
