"""The library: videos and their names."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import StorageBusyError
from engine.records import Fingerprint, MediaInfo, SampleStats, VideoId
from storage.database import Database
from storage.fence import check_held
from storage.records import (
    CameraId,
    Failure,
    FileContent,
    JobRow,
    LibraryTotals,
    StartClock,
    VideoRow,
    VideoStatus,
)
from storage.tables import VideoTable
from storage.video_list import VideoList
from storage.video_names import free_name, meant_name, no_video
from storage.video_record import recount, set_clock, set_content, set_media, video_record

_NAME_TRIES = 8


class Videos:
    """Videos by id or name."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._list = VideoList(database)

    def add(
        self,
        *,
        name: str,
        uri: str,
        identity: str | None = None,
        media: MediaInfo | None = None,
        clock: StartClock | None = None,
        timezone: str | None = None,
        file_name: str | None = None,
        content: FileContent | None = None,
        video_track: int | None = None,
        camera: CameraId | None = None,
        id: VideoId | None = None,
        holder: JobRow | None = None,
    ) -> VideoRow:
        """Add a video with the status `queued`; a name that is taken gets a number behind it.

        Args:
            identity: Digest of the content; `find` tells whether it is here already.
            clock: Wall clock of the first frame.
            content: Size of the file, by which it is known again when it has grown.
            id: Only to rebuild a row that was lost.
            holder: The job that films it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        for _ in range(_NAME_TRIES):
            try:
                with self._database.writing() as session:
                    check_held(session, holder)
                    row = VideoTable(
                        id=id or VideoId(secrets.token_hex(6)),
                        name=free_name(session, name),
                        uri=uri,
                        identity=identity,
                        status="queued",
                        timezone=timezone,
                        file_name=file_name,
                        video_track=video_track,
                        camera_id=camera,
                        created_at=self._now(),
                    )
                    set_clock(row, clock)
                    set_content(row, content)
                    if media is not None:
                        set_media(row, media)
                    session.add(row)
                    return self._stored(session, row)
            except IntegrityError:
                # Another process took the name between our look and our write, or added the same.
                if id is not None:
                    raise StorageBusyError(
                        f"video {id} was added by another process", hint="try again"
                    ) from None
        raise StorageBusyError(f"every name like {name!r} is being taken", hint="try again")

    def restore(self, lost: VideoRow) -> VideoRow:
        """Add the row of a video whose latents are here; a name that is taken gets a number."""
        with self._database.writing() as session:
            row = VideoTable(
                id=lost.id,
                name=free_name(session, lost.name),
                uri=lost.uri,
                identity=lost.identity,
                status=lost.status,
                timezone=lost.timezone,
                file_name=lost.file_name,
                video_track=lost.video_track,
                camera_id=lost.camera,
                has_grown=lost.has_grown,
                tags=[*lost.tags],
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
            set_clock(row, lost.clock)
            set_content(row, lost.content)
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
                raise no_video(session, video)
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
            name = None if row is not None else meant_name(session, id_or_name)
            if name is not None:
                row = session.scalar(select(VideoTable).where(VideoTable.name == name))
            if row is None:
                raise no_video(session, id_or_name)
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
        rows = self._list.rows()
        if statuses:
            return tuple(row for row in rows if row.status in statuses)
        return tuple(row for row in rows if row.status != "removing")

    def by_id(self) -> Mapping[VideoId, VideoRow]:
        """Return every video by its id, those that are being removed too."""
        return self._list.by_id()

    def readings(self) -> Mapping[VideoId, Fingerprint]:
        """Return the pipeline whose chunks answer for each video that has been read."""
        return self._list.readings()

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
                row.name = free_name(session, name)
            return self._stored(session, row)

    def set_tags(self, video: VideoId, tags: Sequence[str]) -> VideoRow:
        """Set the tags of a video."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.tags = [*tags]
            return self._stored(session, row)

    def set_uri(self, video: VideoId, uri: str) -> VideoRow:
        """Set where the original of a video lies now."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.uri = uri
            return self._stored(session, row)

    def set_camera(self, video: VideoId, camera: CameraId | None) -> VideoRow:
        """Set the camera whose timeline a video is a part of."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.camera_id = camera
            return self._stored(session, row)

    def find_at(self, uri: str) -> VideoRow | None:
        """Return the newest video whose original lies there, if there is one."""
        with self._database.reading() as session:
            row = session.scalar(
                select(VideoTable)
                .where(VideoTable.uri == uri, _is_shown())
                .order_by(VideoTable.created_at.desc())
                .limit(1)
            )
            return None if row is None else video_record(row)

    def set_clock(
        self,
        video: VideoId,
        clock: StartClock | None,
        *,
        timezone: str | None,
        holder: JobRow | None = None,
    ) -> VideoRow:
        """Set the wall clock of a video's first frame, and the zone it is shown in.

        Args:
            holder: The job that films it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
            set_clock(row, clock)
            row.timezone = timezone
            return self._stored(session, row)

    def set_grown(
        self, video: VideoId, *, identity: str, content: FileContent, media: MediaInfo
    ) -> VideoRow:
        """Set what a file has become that was appended to; it waits to be read on."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.identity, row.has_grown, row.status = identity, True, "queued"
            set_content(row, content)
            set_media(row, media)
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
        holder: JobRow | None = None,
    ) -> VideoRow:
        """Set the pipeline that reads a video; the counters become those of its chunks.

        Args:
            holder: The job that reads it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
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
        holder: JobRow | None = None,
    ) -> VideoRow:
        """Record how an ingest ended.

        Args:
            wall_s: Duration of this run; added to that of earlier runs.
            stats: Counts at the end of the media, where they exceed those of the last chunk.
            holder: The job that read it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
            row.status = status
            if status == "ready":
                row.has_grown = False
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

    def set_read_to(self, video: VideoId, end_s: float) -> VideoRow:
        """Set how far a video was read, if its chunks do not reach that far any more."""
        with self._database.writing() as session:
            row = lock_video(session, video)
            row.ingested_s = max(row.ingested_s, end_s)
            return self._stored(session, row)

    def remove(self, video: VideoId, *, holder: JobRow | None = None) -> VideoRow:
        """Delete a video with its chunks, jobs and evidence; the caller deletes its files.

        Args:
            holder: The job that films it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = lock_video(session, video)
            check_held(session, holder)
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
        raise no_video(session, video)
    return row


def _is_among(videos: Collection[VideoId] | None) -> ColumnElement[bool]:
    return _is_shown() if videos is None else and_(_is_shown(), VideoTable.id.in_(videos))


def _is_shown() -> ColumnElement[bool]:
    """A video whose removal has begun is gone for everybody but who ends it."""
    return VideoTable.status != "removing"
