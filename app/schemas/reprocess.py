"""Archives that are made again."""

from pydantic import Field

from app.schemas.common import Schema
from app.schemas.errors import ErrorDetail
from app.schemas.jobs import JobItem


class ReprocessResponse(Schema):
    """The document of `reprocess`."""

    videos: int
    """Videos that were looked at."""
    jobs: list[JobItem]
    """What was done, in the order in which it ended."""
    failures: list[ErrorDetail] = Field(default_factory=list, exclude_if=lambda value: not value)
    skipped: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """A line for each video of which something was left out."""
    wall_s: float
