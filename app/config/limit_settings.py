"""Settings that bound what is accepted."""

from pydantic import ByteSize, Field

from app.config.section import GIB, MAX_BYTES, Section


class LimitSettings(Section):
    """Bounds on what is accepted, and on how much runs at once."""

    upload_bytes: ByteSize = Field(default=ByteSize(20 * GIB), ge=1, le=MAX_BYTES)
    """Largest file, in bytes."""
    duration_s: float = Field(default=24 * 3600, ge=1, le=366 * 86400)
    """Longest file, in seconds; a live source may run on."""
    height_px: int = Field(default=8192, ge=1, le=65536)
    """Tallest picture, in pixels. The larger of height and width limits both sides."""
    width_px: int = Field(default=8192, ge=1, le=65536)
    """Widest picture, in pixels. The larger of height and width limits both sides."""
    fps: float = Field(default=240, ge=1, le=100_000)
    """Most frames a second that are read of a file; slow motion beyond it is sampled."""
    streams: int = Field(default=16, ge=1, le=1000)
    """Most streams (video, sound, subtitles) in a file."""
    concurrent_ingests: int = Field(default=4, ge=1, le=256)
    """Jobs that a worker runs at a time."""
    cameras: int = Field(default=64, ge=1, le=1024)
    """Most cameras that a worker films at a time."""
    queued_questions: int = Field(default=64, ge=1, le=10_000)
    """Questions that may wait for the model; further ones are answered with status 429."""
    turn_s: float = Field(default=10.0, ge=0.1, le=3600)
    """Seconds that an answer may hold the model while others wait; then another goes first."""
    answer_tokens: int = Field(default=512, ge=1, le=32768)
    """Longest answer, in tokens."""
    prompt_tokens: int = Field(default=2048, ge=16, le=131072)
    """Longest question in tokens, with the turns before it, of which the oldest are left out."""
    question_chars: int = Field(default=4000, ge=1, le=1_000_000)
    """Longest question or search text, in characters."""
    images: int = Field(default=8, ge=1, le=64)
    """Most still images that a question shows to the model."""
    image_bytes: ByteSize = Field(default=ByteSize(16 << 20), ge=1, le=16 << 20)
    """Most bytes of the image files of a question together."""
    image_side_px: int = Field(default=2048, ge=64, le=8192)
    """Longest side of an image for the model, in pixels; larger ones are scaled down."""
    disk_reserve_bytes: ByteSize = Field(default=ByteSize(GIB), le=MAX_BYTES)
    """Bytes of disk to keep free: uploads are refused and ingest stops below it."""


class RetentionSettings(Section):
    """Deletion of videos by age."""

    days: float | None = Field(default=None, ge=1, le=36500)
    """Days after which a video is deleted, counted from when it was added. Without a value,
    everything is kept."""
