"""Settings of the stills that are kept of every sampled frame."""

from pydantic import ByteSize, Field

from app.config.section import MAX_BYTES, Section


class StillSettings(Section):
    """Sampled frames as small pictures: size, quality, and how long they are kept."""

    max_side_px: int = Field(default=640, ge=64, le=1280)
    """Longest side of a still, in pixels; larger frames are scaled down."""
    quality: int = Field(default=80, ge=20, le=95)
    """Quality of their JPEGs."""
    days: float | None = Field(default=None, ge=1, le=36500)
    """Days after which stills are deleted, counted from when they were made; their video stays.
    Without a value they are kept as long as their video."""
    disk_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes of stills to keep; beyond them the oldest are deleted. Without a value, all are
    kept."""
