"""Settings of how files are understood: their picture, their clock, their zone."""

from datetime import tzinfo

from pydantic import Field, field_validator

from app.config.section import Section
from app.timefmt import parse_zone
from engine.media.wall_clock import NAME_PATTERNS, compile_pattern


class MediaSettings(Section):
    """Picture, clock and time zone of what is added."""

    video_track: int | None = Field(default=None, ge=0, le=10_000)
    """Number of the stream to read of files that hold several pictures, as warnings and `ffprobe`
    count them. Without a value, the main one."""
    timezone: str | None = None
    """Zone of recorders' clocks and of times shown: `Europe/Berlin`, or an offset like `+05:30`.
    Without a value, this machine's. A video or camera may have its own."""
    file_name_clocks: tuple[str, ...] = NAME_PATTERNS
    """Dates and times in file names: `%Y %m %d %H %M %S`, `%f` for a fraction, `UTC:` in front
    where they are UTC. The first pattern that fits counts; an empty list reads none."""

    def zone(self, timezone: str | None) -> tzinfo | None:
        """Return a time zone: a video's own, else this one; `None` is this machine's."""
        name = timezone or self.timezone
        return None if name is None else parse_zone(name)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str | None) -> str | None:
        if name is not None:
            parse_zone(name)
        return name

    @field_validator("file_name_clocks")
    @classmethod
    def _check_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            compile_pattern(pattern)
        return patterns
