"""Committed chunks of videos: one row for each latent file, and the counters in the video's row."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import Select, delete, select

from engine.errors import CorruptLatentsError
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from storage.database import Database
from storage.fence import check_held
from storage.records import JobRow, VideoRow
from storage.tables import ChunkTable
from storage.video_record import recount, video_record
from storage.videos import lock_video

_MOST_ORDINALS: Final = 500
"""Ordinals in one statement: databases bound the number of its parameters."""


class Chunks:
    """The chunks of every video, kept apart by pipeline fingerprint."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def commit(self, chunk: ChunkCommitted, *, holder: JobRow | None = None) -> bool:
        """Add a chunk whose file is on disk, and count it if it is of the video's pipeline.

        Args:
            holder: The job that reads the video, as it was claimed.
        Returns:
            Whether it is new; the same chunk once more changes nothing.
        Raises:
            NotFoundError: The video was removed meanwhile.
            LeaseLostError: Another worker has the job by now.
            CorruptLatentsError: The chunk is here already with other bytes.
        """
        key = (chunk.ref.video, chunk.fingerprint, chunk.ref.ordinal)
        with self._database.writing() as session:
            video = lock_video(session, chunk.ref.video)
            check_held(session, holder)
            known = session.get(ChunkTable, key)
            if known is not None:
                if known.checksum != chunk.checksum:
                    raise CorruptLatentsError(
                        f"chunk {chunk.ref.ordinal} of {video.name}",
                        f"was stored with checksum {known.checksum}, now has {chunk.checksum}",
                    )
                return False
            session.add(_row(chunk))
            if video.fingerprint == chunk.fingerprint:
                video.n_chunks += 1
                video.latent_bytes += chunk.file_bytes
                if chunk.ref.span.end_s >= video.ingested_s:
                    video.ingested_s = chunk.ref.span.end_s
                    video.stats = asdict(chunk.stats)
                video.updated_at = self._now()
            return True

    def list(self, video: VideoId, fingerprint: Fingerprint) -> tuple[ChunkCommitted, ...]:
        """Return the chunks that one pipeline has committed, in order."""
        with self._database.reading() as session:
            return tuple(map(_record, session.scalars(_of_pipeline(video, fingerprint))))

    def file_bytes(self, video: VideoId, fingerprint: Fingerprint) -> dict[int, int]:
        """Return the size of the file of each chunk that one pipeline has committed."""
        query = select(ChunkTable.ordinal, ChunkTable.file_bytes).where(
            ChunkTable.video_id == video, ChunkTable.fingerprint == fingerprint
        )
        with self._database.reading() as session:
            return {ordinal: n_bytes for ordinal, n_bytes in session.execute(query)}

    def keep_reading(
        self, video: VideoId, fingerprint: Fingerprint, *, holder: JobRow | None = None
    ) -> None:
        """Delete the rows of every other pipeline that has read a video.

        Args:
            holder: The job that has read it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            check_held(session, holder)
            session.execute(
                delete(ChunkTable).where(
                    ChunkTable.video_id == video, ChunkTable.fingerprint != fingerprint
                )
            )

    def bring_up(
        self,
        video: VideoId,
        fingerprint: Fingerprint,
        chunks: Iterable[ChunkCommitted],
        gone: Collection[int],
        *,
        holder: JobRow | None = None,
    ) -> None:
        """Bring the rows of one pipeline up to its files, where it is known which differ.

        Args:
            video: That is being read.
            fingerprint: Of the pipeline.
            chunks: Files that have no row, or another one.
            gone: Ordinals of rows whose files are gone.
            holder: The job that reads it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        files = {chunk.ref.ordinal: chunk for chunk in chunks}
        if not files and not gone:
            return
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
            outdated = sorted({*files, *gone})
            for start in range(0, len(outdated), _MOST_ORDINALS):
                session.execute(
                    delete(ChunkTable).where(
                        ChunkTable.video_id == video,
                        ChunkTable.fingerprint == fingerprint,
                        ChunkTable.ordinal.in_(outdated[start : start + _MOST_ORDINALS]),
                    )
                )
            session.add_all(map(_row, files.values()))
            session.flush()
            if row.fingerprint == fingerprint:
                recount(session, row)
            row.updated_at = self._now()

    def replace(
        self,
        video: VideoId,
        fingerprint: Fingerprint,
        chunks: Iterable[ChunkCommitted],
        *,
        holder: JobRow | None = None,
    ) -> VideoRow:
        """Rebuild the rows of one pipeline from what its files say.

        Rows of the same bytes as their file stay as they are: their counts may be newer.

        Args:
            holder: The job that reads it, as it was claimed.
        Raises:
            ValueError: A chunk is of another video or pipeline.
            LeaseLostError: Another worker has that job by now.
        """
        files = {chunk.ref.ordinal: chunk for chunk in chunks}
        for chunk in files.values():
            if (chunk.ref.video, chunk.fingerprint) != (video, fingerprint):
                raise ValueError(f"chunk {chunk.ref} does not belong to {video} {fingerprint}")
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
            query = _of_pipeline(video, fingerprint)
            known = {known_row.ordinal: known_row for known_row in session.scalars(query)}
            kept = {at for at in known.keys() & files.keys() if _same_bytes(known[at], files[at])}
            for ordinal in known.keys() - kept:
                session.delete(known[ordinal])
            session.flush()
            session.add_all(_row(files[ordinal]) for ordinal in files.keys() - kept)
            session.flush()
            if row.fingerprint == fingerprint:
                stats = row.stats
                recount(session, row)
                # The last chunk is the same: what the end of the ingest counted still holds.
                if kept and max(kept) == max(known) == max(files):
                    row.stats = stats
            row.updated_at = self._now()
            session.flush()
            return video_record(row)


def _of_pipeline(video: VideoId, fingerprint: Fingerprint) -> Select[ChunkTable]:
    return (
        select(ChunkTable)
        .where(ChunkTable.video_id == video, ChunkTable.fingerprint == fingerprint)
        .order_by(ChunkTable.ordinal)
    )


def _same_bytes(row: ChunkTable, chunk: ChunkCommitted) -> bool:
    return (row.checksum, row.file_bytes) == (chunk.checksum, chunk.file_bytes)


def _row(chunk: ChunkCommitted) -> ChunkTable:
    return ChunkTable(
        video_id=chunk.ref.video,
        fingerprint=chunk.fingerprint,
        ordinal=chunk.ref.ordinal,
        start_s=chunk.ref.span.start_s,
        end_s=chunk.ref.span.end_s,
        n_frames=chunk.n_frames,
        n_latents=chunk.n_latents,
        file_bytes=chunk.file_bytes,
        checksum=chunk.checksum,
        activity=chunk.activity,
        stats=asdict(chunk.stats),
    )


def _record(row: ChunkTable) -> ChunkCommitted:
    span = TimeSpan(start_s=row.start_s, end_s=row.end_s)
    return ChunkCommitted(
        ref=ChunkRef(video=VideoId(row.video_id), ordinal=row.ordinal, span=span),
        fingerprint=Fingerprint(row.fingerprint),
        n_frames=row.n_frames,
        n_latents=row.n_latents,
        file_bytes=row.file_bytes,
        checksum=row.checksum,
        activity=row.activity,
        stats=SampleStats(**row.stats),
    )
