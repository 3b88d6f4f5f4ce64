"""The row of a video in the database to its record, and what a probe or its chunks say into it."""

from typing import Any, cast

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from engine.records import Fingerprint, MediaInfo, SampleStats, VideoId
from storage.records import (
    CameraId,
    Failure,
    FileContent,
    StartClock,
    StartSource,
    VideoRow,
    VideoStatus,
)
from storage.tables import ChunkTable, VideoTable


def set_media(row: VideoTable, media: MediaInfo) -> None:
    """Write the facts of a source into its row."""
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
    row.first_frame_s = media.first_frame_s
    row.media_warnings = [*media.warnings]
    row.media_tags = [[*pair] for pair in media.tags]


def set_clock(row: VideoTable, clock: StartClock | None) -> None:
    """Write the wall clock of the first frame into a row.

    Raises:
        ValueError: It has no zone.
    """
    if clock is not None and clock.at.tzinfo is None:
        raise ValueError(f"start_at needs a zone: {clock.at.isoformat()}")
    row.start_at = None if clock is None else clock.at
    row.start_source = None if clock is None else clock.source
    row.start_is_local = None if clock is None else clock.is_local


def set_content(row: VideoTable, content: FileContent | None) -> None:
    """Write the size of a file, and the digest of its body, into its row."""
    row.size_bytes = None if content is None else content.size_bytes
    row.body_digest = None if content is None else content.body_digest


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


def video_record(row: VideoTable | Row[Any]) -> VideoRow:
    """Return the record of a row, mapped or as its columns."""
    return VideoRow(
        id=VideoId(row.id),
        name=row.name,
        uri=row.uri,
        identity=row.identity,
        media=_media(row),
        status=cast(VideoStatus, row.status),
        start_at=row.start_at,
        start_source=cast(StartSource | None, row.start_source),
        start_is_local=bool(row.start_is_local),
        timezone=row.timezone,
        file_name=row.file_name,
        video_track=row.video_track,
        content=_content(row),
        has_grown=bool(row.has_grown),
        tags=tuple(row.tags or ()),
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
        camera=None if row.camera_id is None else CameraId(row.camera_id),
    )


def _content(row: VideoTable | Row[Any]) -> FileContent | None:
    if row.size_bytes is None or row.body_digest is None:
        return None
    return FileContent(size_bytes=row.size_bytes, body_digest=row.body_digest)


def _media(row: VideoTable | Row[Any]) -> MediaInfo | None:
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
        first_frame_s=row.first_frame_s or 0.0,
        warnings=tuple(row.media_warnings),
        tags=tuple((key, value) for key, value in row.media_tags),
    )
