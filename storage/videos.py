"""The library: videos, their names, and pages of them.

Decision: a page begins behind a video and not behind a count, because others come and go between
two pages and none may be lost or shown twice.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime
from difflib import get_close_matches
from pathlib import PurePath

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import NotFoundError, StorageBusyError
from engine.records import Fingerprint, MediaInfo, SampleStats, VideoId
from storage.database import Database
from storage.records import Failure, LibraryTotals, PageCursor, VideoRow, VideoStatus
from storage.tables import ChunkTable, VideoTable
from storage.video_record import set_media, video_record

_NAME_TRIES = 8


class Videos:
    """Videos by id or name."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        *,
        name: str,
        uri: str,
        identity: str | None = None,
        media: MediaInfo | None = None,
        start_at: datetime | None = None,
        id: VideoId | None = None,
    ) -> VideoRow:
        """Add a video with the status `queued`; a name that is taken gets a number behind it.

        Args:
            identity: Digest of the content; `find` tells whether it is here already.
            start_at: Wall clock of the first frame, with its zone.
            id: Only to rebuild a row that was lost.
        """
        if start_at is not None and start_at.tzinfo is None:
            raise ValueError(f"start_at needs a zone: {start_at.isoformat()}")
        for _ in range(_NAME_TRIES):
            try:
                with self._database.writing() as session:
                    row = VideoTable(
                        id=id or VideoId(secrets.token_hex(6)),
                        name=_free_name(session, name),
                        uri=uri,
                        identity=identity,
                        status="queued",
                        start_at=start_at,
                        created_at=self._now(),
                    )
                    if media is not None:
                        set_media(row, media)
                    session.add(row)
                    return self._stored(session, row)
            except IntegrityError:
                # Another process took the name between our look and our write.
                if id is not None:
                    raise
        raise StorageBusyError(f"every name like {name!r} is being taken", hint="try again")

    def restore(self, lost: VideoRow) -> VideoRow:
        """Add the row of a video whose latents are here; a name that is taken gets a number."""
        with self._database.writing() as session:
            row = VideoTable(
                id=lost.id,
                name=_free_name(session, lost.name),
                uri=lost.uri,
                identity=lost.identity,
                status=lost.status,
                start_at=lost.start_at,
                fingerprint=lost.fingerprint,
                model=lost.model,
                sample_fps=lost.sample_fps,
                compression_ratio=lost.compression_ratio,
                n_chunks=lost.n_chunks,
                latent_bytes=lost.latent_bytes,
                ingested_s=lost.ingested_s,
                stats=asdict(lost.stats),
                wall_s=lost.wall_s,
                warnings=[*lost.warnings],
                failure=None if lost.failure is None else asdict(lost.failure),
                created_at=lost.created_at,
            )
            if lost.media is not None:
                set_media(row, lost.media)
                row.uri = lost.uri
            session.add(row)
            return self._stored(session, row)

    def get(self, video: VideoId) -> VideoRow:
        """Return the video of an id.

        Raises:
            NotFoundError: There is none; the message names similar ones.
        """
        with self._database.reading() as session:
            row = session.get(VideoTable, video)
            if row is None:
                raise _no_video(session, video)
            return video_record(row)

    def resolve(self, id_or_name: str) -> VideoRow:
        """Return the video of an id or a name; an id goes before a name.

        What is not a name as it stands may be one in another case, a file with its folder and
        ending, or the beginning of one name alone.

        Raises:
            NotFoundError: There is none; the message names similar ones.
        """
        with self._database.reading() as session:
            row = session.get(VideoTable, id_or_name)
            name = None if row is not None else _meant_name(session, id_or_name)
            if name is not None:
                row = session.scalar(select(VideoTable).where(VideoTable.name == name))
            if row is None:
                raise _no_video(session, id_or_name)
            return video_record(row)

    def find(self, identity: str) -> VideoRow | None:
        """Return the oldest video of this content, if there is one."""
        with self._database.reading() as session:
            row = session.scalar(
                select(VideoTable)
                .where(VideoTable.identity == identity, _is_shown())
                .order_by(VideoTable.created_at)
                .limit(1)
            )
            return None if row is None else video_record(row)

    def list(self, *statuses: VideoStatus) -> tuple[VideoRow, ...]:
        """Return every video that is not being removed, or those in `statuses`; oldest first."""
        query = select(VideoTable).order_by(VideoTable.created_at, VideoTable.id)
        is_wanted = VideoTable.status.in_(statuses) if statuses else _is_shown()
        query = query.where(is_wanted)
        with self._database.reading() as session:
            return tuple(video_record(row) for row in session.scalars(query))

    def readings(self) -> dict[VideoId, Fingerprint]:
        """Return the pipeline whose chunks answer for each video that has been read."""
        query = select(VideoTable.id, VideoTable.fingerprint)
        with self._database.reading() as session:
            return {
                VideoId(video): Fingerprint(fingerprint)
                for video, fingerprint in session.execute(query)
                if fingerprint is not None
            }

    def page(
        self,
        limit: int,
        *,
        behind: PageCursor | None = None,
        among: Collection[VideoId] | None = None,
    ) -> tuple[VideoRow, ...]:
        """Return the next videos, newest first.

        Args:
            limit: Most videos to return.
            behind: The end of the page before; the first page when `None`.
            among: Only these; all when `None`.
        """
        query = select(VideoTable).order_by(VideoTable.created_at.desc(), VideoTable.id.desc())
        if behind is not None:
            older = VideoTable.created_at < behind.created_at
            same_time = and_(VideoTable.created_at == behind.created_at, VideoTable.id < behind.id)
            query = query.where(or_(older, same_time))
        with self._database.reading() as session:
            rows = session.scalars(query.where(_is_among(among)).limit(limit))
            return tuple(video_record(row) for row in rows)

    def totals(self, among: Collection[VideoId] | None = None) -> LibraryTotals:
        """Count the videos of all pages and the bytes of their latents."""
        latent_bytes = func.coalesce(func.sum(VideoTable.latent_bytes), 0)
        query = select(func.count(VideoTable.id), latent_bytes).where(_is_among(among))
        with self._database.reading() as session:
            n_videos, total_bytes = session.execute(query).one()
            return LibraryTotals(n_videos=n_videos, latent_bytes=int(total_bytes))

    def rename(self, video: VideoId, name: str) -> VideoRow:
        """Rename a video; a name that is taken gets a number behind it."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            if row.name != name:
                row.name = _free_name(session, name)
            return self._stored(session, row)

    def set_uri(self, video: VideoId, uri: str) -> VideoRow:
        """Set where the original of a video lies now."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.uri = uri
            return self._stored(session, row)

    def set_status(
        self, video: VideoId, status: VideoStatus, *, failure: Failure | None = None
    ) -> VideoRow:
        """Set the status of a video; an earlier failure is cleared unless it is given again."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.status = status
            row.failure = None if failure is None else asdict(failure)
            return self._stored(session, row)

    def begin_ingest(
        self,
        video: VideoId,
        *,
        fingerprint: Fingerprint,
        model: str,
        sample_fps: float,
        compression_ratio: int,
    ) -> VideoRow:
        """Set the pipeline that reads a video; the counters become those of its chunks."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.status = "ingesting"
            row.failure = None
            if row.fingerprint != fingerprint:
                row.wall_s = 0.0
            row.fingerprint = fingerprint
            row.model = model
            row.sample_fps = sample_fps
            row.compression_ratio = compression_ratio
            recount(session, row)
            return self._stored(session, row)

    def end_ingest(
        self,
        video: VideoId,
        status: VideoStatus,
        *,
        wall_s: float,
        stats: SampleStats | None = None,
        warnings: Collection[str] = (),
        failure: Failure | None = None,
    ) -> VideoRow:
        """Record how an ingest ended.

        Args:
            wall_s: Duration of this run; added to that of earlier runs.
            stats: Counts at the end of the media, where they exceed those of the last chunk.
        """
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.status = status
            row.wall_s += wall_s
            row.warnings = [*warnings]
            row.failure = None if failure is None else asdict(failure)
            if stats is not None:
                row.stats = asdict(stats)
            return self._stored(session, row)

    def set_stats(self, video: VideoId, stats: SampleStats) -> VideoRow:
        """Set the counts of a video."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.stats = asdict(stats)
            return self._stored(session, row)

    def remove(self, video: VideoId) -> VideoRow:
        """Delete a video with its chunks, jobs and evidence; the caller deletes its files."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            removed = video_record(row)
            session.execute(delete(VideoTable).where(VideoTable.id == video))
            return removed

    def _stored(self, session: Session, row: VideoTable) -> VideoRow:
        row.updated_at = self._now()
        session.flush()
        return video_record(row)


def lock_video(session: Session, video: VideoId) -> VideoTable:
    """Return the row, locked until the transaction ends: two writers count one after the other.

    Raises:
        NotFoundError: There is none.
    """
    row = session.get(VideoTable, video, with_for_update=True)
    if row is None:
        raise _no_video(session, video)
    return row


def _no_video(session: Session, wanted: str) -> NotFoundError:
    """Return the error for a missing name or id; it names those that may have been meant."""
    names = tuple(session.scalars(select(VideoTable.name).order_by(VideoTable.name)))
    if not names:
        return NotFoundError(
            f"no video {wanted!r}: the library is empty", hint="ingest a video first"
        )
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[name] for name in get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.5)]
    near += [name for name in names if wanted.lower() in name.lower() and name not in near]
    meant = f"; did you mean {', '.join(map(repr, near[:3]))}?" if near else ""
    return NotFoundError(f"no video {wanted!r}{meant}", hint="list the videos to see every name")


def _meant_name(session: Session, wanted: str) -> str | None:
    """Return the only name that can be meant; `None` where there is none, or more than one."""
    names = tuple(session.scalars(select(VideoTable.name)))
    if wanted in names:
        return wanted
    if not wanted.strip():
        return None
    path = PurePath(wanted)
    for rule in (
        lambda name: name.lower() == wanted.lower(),
        lambda name: name.lower() in {path.name.lower(), path.stem.lower()},
        lambda name: name.lower().startswith(wanted.lower()),
    ):
        fitting = [name for name in names if rule(name)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _free_name(session: Session, name: str) -> str:
    """Return the name itself, or with the first number behind it that is free."""

    def is_taken(candidate: str) -> bool:
        query = select(VideoTable.id).where(VideoTable.name == candidate)
        return session.scalar(query) is not None

    number, candidate = 2, name
    while is_taken(candidate):
        number, candidate = number + 1, f"{name} {number}"
    return candidate


def _is_among(videos: Collection[VideoId] | None) -> ColumnElement[bool]:
    return _is_shown() if videos is None else and_(_is_shown(), VideoTable.id.in_(videos))


def _is_shown() -> ColumnElement[bool]:
    """A video whose removal has begun is gone for everybody but who ends it."""
    return VideoTable.status != "removing"


def recount(session: Session, row: VideoTable) -> None:
    """Set the counters of a video to the sums over the chunk rows of its pipeline."""
    of_pipeline = (ChunkTable.video_id == row.id, ChunkTable.fingerprint == row.fingerprint)
    n_chunks, latent_bytes, end_s = session.execute(
        select(func.count(), func.sum(ChunkTable.file_bytes), func.max(ChunkTable.end_s)).where(
            *of_pipeline
        )
    ).one()
    last = session.scalar(
        select(ChunkTable).where(*of_pipeline).order_by(ChunkTable.ordinal.desc()).limit(1)
    )
    row.n_chunks = n_chunks
    row.latent_bytes = int(latent_bytes or 0)
    row.ingested_s = end_s or 0.0
    row.stats = {} if last is None else last.stats
