"""One latent file and its row: a record in either direction, and which rows belong together."""

from dataclasses import asdict

from sqlalchemy import Select, select

from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from storage.tables import ChunkTable


def chunks_of(video: VideoId, fingerprint: Fingerprint) -> Select[ChunkTable]:
    """The chunks of one pipeline, in order."""
    return (
        select(ChunkTable)
        .where(ChunkTable.video_id == video, ChunkTable.fingerprint == fingerprint)
        .order_by(ChunkTable.ordinal)
    )


def chunk_row(chunk: ChunkCommitted) -> ChunkTable:
    """A new row for a committed chunk."""
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


def agrees(row: ChunkTable, chunk: ChunkCommitted) -> bool:
    """Whether a row speaks of the same bytes."""
    return (row.checksum, row.file_bytes) == (chunk.checksum, chunk.file_bytes)


def chunk_record(row: ChunkTable) -> ChunkCommitted:
    """What was committed."""
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
