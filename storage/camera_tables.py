"""Mapped classes of cameras, of who may see them, of what they recorded and who films them."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, Serial


class CameraTable(Base):
    """A camera: how it is reached, what is kept of it, and how it is doing."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    folded_name: Mapped[str] = mapped_column(unique=True)
    """The name without case: nobody tells `Gate` from `gate` when speaking of them."""
    address: Mapped[str]
    """Without what may be secret in it."""
    timezone: Mapped[str | None]
    fps: Mapped[float | None]
    watch: Mapped[list[str]]
    records: Mapped[bool] = mapped_column(default=True)
    records_sound: Mapped[bool] = mapped_column(default=True, server_default=true())
    transport: Mapped[str] = mapped_column(server_default="auto")
    segment_days: Mapped[float | None]
    segment_bytes: Mapped[int | None] = mapped_column(BigInteger)
    still_days: Mapped[float | None]
    still_bytes: Mapped[int | None] = mapped_column(BigInteger)
    latent_days: Mapped[float | None]
    latent_bytes: Mapped[int | None] = mapped_column(BigInteger)
    enabled: Mapped[bool]
    state: Mapped[str]
    state_since: Mapped[datetime]
    state_note: Mapped[str] = mapped_column(default="")
    last_frame_at: Mapped[datetime | None]
    n_connects: Mapped[int] = mapped_column(default=0)
    frames_dropped: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]


class CameraGrantTable(Base):
    """Permission of a viewer to see a camera with all that it films."""

    __tablename__ = "camera_grants"

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    camera_id: Mapped[str] = mapped_column(
        ForeignKey("cameras.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class SegmentTable(Base):
    """A file of a camera's recording, of about a minute."""

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("camera_id", "name"),
        Index("ix_segments_camera_id_start_at", "camera_id", "start_at"),
        Index("ix_segments_video_id_start_s", "video_id", "start_s"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    camera_id: Mapped[str] = mapped_column(ForeignKey("cameras.id", ondelete="CASCADE"))
    video_id: Mapped[str | None] = mapped_column(ForeignKey("videos.id", ondelete="SET NULL"))
    """The part of the camera's timeline that was read from the same pictures."""
    name: Mapped[str]
    """Of the file in the folder of the camera."""
    start_at: Mapped[datetime]
    start_s: Mapped[float]
    """Of its first frame on the clock of the video."""
    end_s: Mapped[float]
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    is_open: Mapped[bool]
    """Whether it is being written."""


class WorkerTable(Base):
    """A worker that films cameras, and how many it has places for."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    places: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
