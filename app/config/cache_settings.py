"""Settings of the tiers that hold latents."""

from pydantic import ByteSize, Field

from app.config.section import MAX_BYTES, Section


class CacheSettings(Section):
    """Bytes of latents in each tier."""

    device_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes on the accelerator; unused when the model runs on the CPU. Without a value, what is
    free there once the weights are loaded, less what reading chunks and answering need."""
    host_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes in main memory."""
    disk_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes on disk. Without a value, the disk's own size is the limit."""
