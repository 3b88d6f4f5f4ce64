"""Results of `persistence`: how long facts stay answerable, by way of remembering."""

from app.schemas.common import Schema
from app.schemas.evaluation import ShareItem


class PersistenceRow(Schema):
    """The facts of one age in one memory."""

    memory: str
    age_s: float
    n: int
    right: ShareItem
    levels: list[float | None]
    """Shares that reach the five levels of `engine/evaluation/levels.py`; `None` where one was
    not measured."""
    hit_at_1: float
    """Share whose first evidence shows the moment, of every card that was asked for."""
    references: dict[str, float]
    """Ref@N: share whose moments lie within N seconds of shown evidence, by N."""
    tiou: float
    """Mean IoU of the best evidence with the moment."""


class MemoryItem(Schema):
    """The bytes that one memory keeps of the stream."""

    memory: str
    kept_bytes: int
    right: ShareItem
    """Of all facts."""


class PersistenceResponse(Schema):
    """The curve of each memory."""

    haystack: str
    model: str
    compression_ratio: int
    recall: str
    hops: int
    shown_frames: int
    frames: int
    """Of the stream."""
    memories: list[MemoryItem]
    rows: list[PersistenceRow]
    results: str
