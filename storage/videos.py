"""The library: videos, the chunks read from them, and what a name means."""

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import cast

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import CorruptLatentsError, StorageBusyError
from engine.records import (
    ChunkCommitted,
    Fingerprint,
    MediaInfo,
    SampleStats,
    TimeSpan,
    VideoId,
)
from storage.chunks import agrees, chunk_record, chunk_row, chunks_of
from storage.database import Database
from storage.names import free_name, no_video
from storage.paging import page_query, totals_query
from storage.records import Failure, LibraryTotals, PageCursor, VideoRow, VideoStatus
from storage.tables import ChunkTable, VideoTable

_NAME_TRIES = 8


class Videos:
    """Videos by id or name, and their committed chunks."""

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
        """Write down a new video, status `queued`; a name that is taken gets a number behind it.

        Args:
            identity: Digest of the content; ask `find` first whether it is here already.
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
                        name=free_name(session, name),
                        uri=uri,
                        identity=identity,
                        status="queued",
                        start_at=start_at,
                        created_at=self._now(),
                    )
                    if media is not None:
                        _describe(row, media)
                    session.add(row)
                    return self._stored(session, row)
            except IntegrityError:
                # Another process took the name between our look and our write.
                if id is not None:
                    raise
        raise StorageBusyError(f"every name like {name!r} is being taken", hint="try again")

    def get(self, video: VideoId) -> VideoRow:
        """The video of an id.

        Raises:
            NotFoundError: There is none; the message names those that are near.
        """
        with self._database.reading() as session:
            row = session.get(VideoTable, video)
            if row is None:
                raise no_video(session, video)
            return _video(row)

    def resolve(self, id_or_name: str) -> VideoRow:
        """The video that a user means; an id goes before a name.

        Raises:
            NotFoundError: There is none; the message names those that are near.
        """
        with self._database.reading() as session:
            row = session.get(VideoTable, id_or_name) or session.scalar(
                select(VideoTable).where(VideoTable.name == id_or_name)
            )
            if row is None:
                raise no_video(session, id_or_name)
            return _video(row)

    def find(self, identity: str) -> VideoRow | None:
        """The oldest video of this content, if it is here."""
        with self._database.reading() as session:
            row = session.scalar(
                select(VideoTable)
                .where(VideoTable.identity == identity)
                .order_by(VideoTable.created_at)
                .limit(1)
            )
            return None if row is None else _video(row)

    def listed(self, *statuses: VideoStatus) -> tuple[VideoRow, ...]:
        """Every video, or those in one of `statuses`; oldest first."""
        query = select(VideoTable).order_by(VideoTable.created_at, VideoTable.id)
        if statuses:
            query = query.where(VideoTable.status.in_(statuses))
        with self._database.reading() as session:
            return tuple(_video(row) for row in session.scalars(query))

    def page(
        self,
        limit: int,
        *,
        behind: PageCursor | None = None,
        among: Collection[VideoId] | None = None,
    ) -> tuple[VideoRow, ...]:
        """The next `limit` videos behind a place, newest first; of `among` where it is given."""
        with self._database.reading() as session:
            rows = session.scalars(page_query(limit, behind, among))
            return tuple(_video(row) for row in rows)

    def totals(self, among: Collection[VideoId] | None = None) -> LibraryTotals:
        """What all pages hold together."""
        with self._database.reading() as session:
            n_videos, latent_bytes = session.execute(totals_query(among)).one()
            return LibraryTotals(n_videos=n_videos, latent_bytes=int(latent_bytes))

    def describe(self, video: VideoId, media: MediaInfo) -> VideoRow:
        """Write down what a probe found."""
        with self._database.writing() as session:
            row = _locked(session, video)
            _describe(row, media)
            return self._stored(session, row)

    def rename(self, video: VideoId, name: str) -> VideoRow:
        """Call a video something else; a name that is taken gets a number behind it."""
        with self._database.writing() as session:
            row = _locked(session, video)
            if row.name != name:
                row.name = free_name(session, name)
            return self._stored(session, row)

    def set_status(
        self, video: VideoId, status: VideoStatus, *, failure: Failure | None = None
    ) -> VideoRow:
        """Say where a video stands; an old failure is forgotten unless it is given again."""
        with self._database.writing() as session:
            row = _locked(session, video)
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
        """Say which pipeline reads a video now; its chunks of that pipeline count again."""
        with self._database.writing() as session:
            row = _locked(session, video)
            row.status = "ingesting"
            row.failure = None
            if row.fingerprint != fingerprint:
                row.wall_s = 0.0
            row.fingerprint = fingerprint
            row.model = model
            row.sample_fps = sample_fps
            row.compression_ratio = compression_ratio
            _recount(session, row)
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
        """Say how a read-through ended.

        Args:
            wall_s: Time that this run took; added to that of runs before it.
            stats: Counts at the very end, where they passed those of the last chunk.
        """
        with self._database.writing() as session:
            row = _locked(session, video)
            row.status = status
            row.wall_s += wall_s
            row.warnings = [*warnings]
            row.failure = None if failure is None else asdict(failure)
            if stats is not None:
                row.stats = asdict(stats)
            return self._stored(session, row)

    def remove(self, video: VideoId) -> VideoRow:
        """Forget a video with its chunks, jobs and evidence; its files are the caller's."""
        with self._database.writing() as session:
            row = _locked(session, video)
            gone = _video(row)
            session.execute(delete(VideoTable).where(VideoTable.id == video))
            return gone

    def commit_chunk(self, chunk: ChunkCommitted) -> bool:
        """Write down a chunk whose file is on disk, and count it.

        Returns:
            Whether it is new; the same chunk once more changes nothing.
        Raises:
            NotFoundError: The video was removed meanwhile.
            CorruptLatentsError: The chunk is here already with other bytes.
        """
        key = (chunk.ref.video, chunk.fingerprint, chunk.ref.ordinal)
        with self._database.writing() as session:
            video = _locked(session, chunk.ref.video)
            known = session.get(ChunkTable, key)
            if known is not None:
                if known.checksum != chunk.checksum:
                    raise CorruptLatentsError(
                        f"chunk {chunk.ref.ordinal} of {video.name}",
                        f"was stored with checksum {known.checksum}, now has {chunk.checksum}",
                    )
                return False
            session.add(chunk_row(chunk))
            if video.fingerprint == chunk.fingerprint:
                video.n_chunks += 1
                video.latent_bytes += chunk.file_bytes
                if chunk.ref.span.end_s >= video.ingested_s:
                    video.ingested_s = chunk.ref.span.end_s
                    video.stats = asdict(chunk.stats)
                video.updated_at = self._now()
            return True

    def chunks(
        self, video: VideoId, fingerprint: Fingerprint, *, within: TimeSpan | None = None
    ) -> tuple[ChunkCommitted, ...]:
        """Committed chunks in order, or those that share time with `within`."""
        query = chunks_of(video, fingerprint)
        if within is not None:
            query = query.where(ChunkTable.end_s > within.start_s)
            query = query.where(ChunkTable.start_s < within.end_s)
        with self._database.reading() as session:
            return tuple(chunk_record(row) for row in session.scalars(query))

    def missing_ordinals(
        self, video: VideoId, fingerprint: Fingerprint, n_chunks: int | None = None
    ) -> tuple[int, ...]:
        """Ordinals without a row below `n_chunks`, or below the highest one committed."""
        query = select(ChunkTable.ordinal).where(
            ChunkTable.video_id == video, ChunkTable.fingerprint == fingerprint
        )
        with self._database.reading() as session:
            here = frozenset(session.scalars(query))
        end = max(here, default=-1) + 1 if n_chunks is None else n_chunks
        return tuple(ordinal for ordinal in range(end) if ordinal not in here)

    def replace_chunks(
        self, video: VideoId, fingerprint: Fingerprint, chunks: Iterable[ChunkCommitted]
    ) -> VideoRow:
        """Rebuild the rows of one pipeline from what its files say.

        Rows that agree with their file stay as they are: they may know more counts than it.
        """
        found = {chunk.ref.ordinal: chunk for chunk in chunks}
        for chunk in found.values():
            if (chunk.ref.video, chunk.fingerprint) != (video, fingerprint):
                raise ValueError(f"chunk {chunk.ref} does not belong to {video} {fingerprint}")
        with self._database.writing() as session:
            row = _locked(session, video)
            known = {each.ordinal: each for each in session.scalars(chunks_of(video, fingerprint))}
            agree = {at for at in known.keys() & found.keys() if agrees(known[at], found[at])}
            for ordinal in known.keys() - agree:
                session.delete(known[ordinal])
            session.flush()
            session.add_all(chunk_row(found[ordinal]) for ordinal in found.keys() - agree)
            session.flush()
            if row.fingerprint == fingerprint:
                stats = row.stats
                _recount(session, row)
                if agree and max(agree) == max(known) == max(found):
                    row.stats = stats
            return self._stored(session, row)

    def _stored(self, session: Session, row: VideoTable) -> VideoRow:
        row.updated_at = self._now()
        session.flush()
        return _video(row)


def _locked(session: Session, video: VideoId) -> VideoTable:
    """The row, held until the transaction ends, so that two writers count one after the other."""
    row = session.get(VideoTable, video, with_for_update=True)
    if row is None:
        raise no_video(session, video)
    return row


def _describe(row: VideoTable, media: MediaInfo) -> None:
    row.uri = media.uri
    row.container = media.container
    row.video_codec = media.video_codec
    row.media_fps = media.fps
    row.height_px = media.height_px
    row.width_px = media.width_px
    row.duration_s_header = media.duration_s
    row.is_live = media.is_live
    row.has_audio = media.has_audio
    row.rotation_deg = media.rotation_deg
    row.media_warnings = [*media.warnings]
    row.media_tags = [[*pair] for pair in media.tags]


def _recount(session: Session, row: VideoTable) -> None:
    """Counters as the chunk rows of the video's pipeline say."""
    mine = chunks_of(VideoId(row.id), Fingerprint(row.fingerprint or "")).order_by(None)
    n_chunks, latent_bytes, end_s = session.execute(
        mine.with_only_columns(
            func.count(), func.sum(ChunkTable.file_bytes), func.max(ChunkTable.end_s)
        )
    ).one()
    last = session.scalar(mine.order_by(ChunkTable.ordinal.desc()).limit(1))
    row.n_chunks = n_chunks
    row.latent_bytes = int(latent_bytes or 0)
    row.ingested_s = end_s or 0.0
    row.stats = {} if last is None else last.stats


def _media(row: VideoTable) -> MediaInfo | None:
    if row.container is None:
        return None
    return MediaInfo(
        uri=row.uri,
        container=row.container,
        video_codec=row.video_codec,
        fps=row.media_fps,
        height_px=row.height_px or 0,
        width_px=row.width_px or 0,
        duration_s=row.duration_s_header,
        is_live=bool(row.is_live),
        has_audio=bool(row.has_audio),
        rotation_deg=row.rotation_deg or 0,
        warnings=tuple(row.media_warnings),
        tags=tuple((key, value) for key, value in row.media_tags),
    )


def _video(row: VideoTable) -> VideoRow:
    return VideoRow(
        id=VideoId(row.id),
        name=row.name,
        uri=row.uri,
        identity=row.identity,
        media=_media(row),
        status=cast(VideoStatus, row.status),
        start_at=row.start_at,
        fingerprint=None if row.fingerprint is None else Fingerprint(row.fingerprint),
        model=row.model,
        sample_fps=row.sample_fps,
        compression_ratio=row.compression_ratio,
        n_chunks=row.n_chunks,
        latent_bytes=row.latent_bytes,
        ingested_s=row.ingested_s,
        stats=SampleStats(**row.stats),
        wall_s=row.wall_s,
        warnings=tuple(row.warnings),
        failure=None if row.failure is None else Failure(**row.failure),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
