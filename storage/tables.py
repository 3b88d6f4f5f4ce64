"""Mapped classes: one table per noun of the application.

Columns carry the units of the records they hold. Times of day are aware UTC; JSON holds what is
read and written whole and never searched.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in, aware UTC out; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; without a zone a datetime is no moment, and a `ValueError`."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time of day needs a zone: {value.isoformat()}")
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone that SQLite leaves out."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Constraints have names, so that a migration can find them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[list[str]]: JSON,
        list[list[float]]: JSON,
        list[dict[str, Any]]: JSON,
    }


# SQLite numbers rows by itself only where the key is spelled INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")


class VideoTable(Base):
    """A video: its source, its media and the progress of its ingest."""

    __tablename__ = "videos"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    uri: Mapped[str]
    identity: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(index=True)
    start_at: Mapped[datetime | None]
    start_source: Mapped[str | None]
    start_is_local: Mapped[bool | None]
    timezone: Mapped[str | None]
    file_name: Mapped[str | None]
    video_track: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    body_digest: Mapped[str | None]
    has_grown: Mapped[bool | None]
    camera_id: Mapped[str | None] = mapped_column(index=True)
    tags: Mapped[list[str] | None]
    """`None` of a video that an earlier version added."""

    container: Mapped[str | None]
    """`None` until probed, like everything of the media."""
    video_codec: Mapped[str | None]
    media_fps: Mapped[float | None]
    height_px: Mapped[int | None]
    width_px: Mapped[int | None]
    duration_s_header: Mapped[float | None]
    is_live: Mapped[bool | None]
    has_audio: Mapped[bool | None]
    rotation_deg: Mapped[int | None]
    first_frame_s: Mapped[float | None]
    media_warnings: Mapped[list[str]] = mapped_column(default=list)
    media_tags: Mapped[list[list[str]]] = mapped_column(default=list)

    fingerprint: Mapped[str | None]
    model: Mapped[str | None]
    sample_fps: Mapped[float | None]
    compression_ratio: Mapped[int | None]
    n_chunks: Mapped[int] = mapped_column(default=0)
    latent_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    ingested_s: Mapped[float] = mapped_column(default=0.0)
    stats: Mapped[dict[str, Any]] = mapped_column(default=dict)
    wall_s: Mapped[float] = mapped_column(default=0.0)
    warnings: Mapped[list[str]] = mapped_column(default=list)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ChunkTable(Base):
    """A projection of one latent file; a row is added only once the file is on disk."""

    __tablename__ = "chunks"

    video_id: Mapped[str] = mapped_column(
        ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True
    )
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    n_frames: Mapped[int]
    n_latents: Mapped[int]
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str]
    activity: Mapped[float]
    stats: Mapped[dict[str, Any]]


class CaptionTable(Base):
    """A caption of one chunk, by the pipeline whose latents it describes."""

    __tablename__ = "captions"
    __table_args__ = (UniqueConstraint("video_id", "fingerprint", "ordinal"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    """The row of the full-text index; a vacuum renumbers rows that have no such key."""
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"))
    fingerprint: Mapped[str]
    ordinal: Mapped[int]
    start_s: Mapped[float]
    end_s: Mapped[float]
    text: Mapped[str]
    words: Mapped[str]
    """The searchable words of the text, case-folded, each between spaces."""
    model: Mapped[str]
    created_at: Mapped[datetime]


class JobTable(Base):
    """A job and its lease."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_state_run_at", "state", "run_at"),
        # Two workers never run one stream, whatever the timing.
        Index(
            "uq_jobs_running_stream",
            "stream",
            unique=True,
            # Migration 0001 says the same for PostgreSQL. Here it would load that dialect, with
            # asyncio, for every command that opens a library.
            sqlite_where=text("state = 'running'"),
        ),
        # The id of a job that was removed is never given again.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    video_id: Mapped[str | None] = mapped_column(
        ForeignKey("videos.id", ondelete="CASCADE"), index=True
    )
    stream: Mapped[str | None] = mapped_column(index=True)
    state: Mapped[str]
    lease: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    run_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    progress_done: Mapped[float] = mapped_column(default=0.0)
    progress_total: Mapped[float | None]
    progress_note: Mapped[str] = mapped_column(default="")
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class UserTable(Base):
    """A user."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None]
    created_at: Mapped[datetime]


class GrantTable(Base):
    """Permission of a viewer to see a video."""

    __tablename__ = "grants"

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    video_id: Mapped[str] = mapped_column(
        ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class SessionTable(Base):
    """A signed-in user."""

    __tablename__ = "sessions"

    secret_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    csrf: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    user: Mapped[UserTable] = relationship(lazy="joined")


class TokenTable(Base):
    """A token of a user; only its hash is stored."""

    __tablename__ = "tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    kind: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]

    user: Mapped[UserTable] = relationship(lazy="joined")


class UploadTable(Base):
    """A resumable upload."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    offset_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    details: Mapped[dict[str, Any]]
    """Empty; earlier versions kept the metadata of the request here."""
    video_id: Mapped[str | None] = mapped_column(
        ForeignKey("videos.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ProbeRunTable(Base):
    """A run over a grid of needles."""

    __tablename__ = "probe_runs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    haystack: Mapped[str]
    model: Mapped[str]
    compression_ratio: Mapped[int]
    recall: Mapped[str]
    settings: Mapped[dict[str, Any]]
    wall_s: Mapped[float]
    created_at: Mapped[datetime]

    cells: Mapped[list["ProbeCellTable"]] = relationship(
        lazy="selectin", order_by="ProbeCellTable.ordinal"
    )


class ProbeCellTable(Base):
    """Counts over the needles of one haystack length and depth."""

    __tablename__ = "probe_cells"

    run_id: Mapped[int] = mapped_column(
        ForeignKey("probe_runs.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    length_frames: Mapped[int]
    length_s: Mapped[float]
    depth: Mapped[float]
    n: Mapped[int]
    answers_right: Mapped[int]
    evidence_hit_at_1: Mapped[int]
    evidence_hit_at_5: Mapped[int]
    trials: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """For each needle: what was asked, answered and retrieved."""
