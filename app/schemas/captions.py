"""Captions: one text for every chunk."""

from pydantic import BaseModel, Field

from app.schemas.common import VideoLabels, VideoSpan, describe_span
from engine.records import Caption


class CaptionItem(VideoSpan):
    """What one chunk shows, in words."""

    chunk: int
    text: str
    share: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of the words looked for, where some were."""


class CaptionsResponse(BaseModel):
    """What `captions` lists."""

    video_id: str
    video: str
    model: str
    captions: list[CaptionItem]


class CaptionRunResponse(BaseModel):
    """What `caption` did."""

    video_id: str
    video: str
    status: str
    model: str
    captions: int
    """All that there are now."""
    written: int
    """Those of this run."""
    wall_s: float


def describe_caption(
    caption: Caption, labels: VideoLabels, *, share: float | None = None
) -> CaptionItem:
    """A caption as its document."""
    return CaptionItem(
        **describe_span(caption.ref.video, caption.ref.span, labels).model_dump(),
        chunk=caption.ref.ordinal,
        text=caption.text,
        share=share,
    )
